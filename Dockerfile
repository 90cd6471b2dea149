# authsvc as one static binary and the public CAs, nothing else: no shell, no package manager, no user database.
# BuildKit compiles on the machine's own processor for the image's, without emulation; the older builder for its own.
FROM --platform=${BUILDPLATFORM:-linux} golang:1.26-bookworm AS build
WORKDIR /src

# Modules first: this layer lasts until go.mod or go.sum change.
ARG GOPROXY
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG VERSION=dev
ARG COMMIT=unknown
# BuildKit sets them.
ARG TARGETOS
ARG TARGETARCH
# The build cache is of no use in a layer.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOCACHE=/tmp/gocache go build -trimpath -buildvcs=false \
        -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /authsvc ./cmd/authsvc \
    && rm -rf /tmp/gocache

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /authsvc /usr/local/bin/authsvc
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["/usr/local/bin/authsvc", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/authsvc"]
