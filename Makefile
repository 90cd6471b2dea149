# make help lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BUILD_FLAGS := -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)'

# The race detector makes the tests take twice as long: RACE= leaves it out.
RACE ?= -race

# How long make fuzz gives each target, how often make bench runs each benchmark, and which.
FUZZTIME ?= 20s
BENCHCOUNT ?= 1
BENCH ?= .

# How long make soak goes on, and by what its faults are drawn.
DURATION ?= 10m
SEED ?= 1

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## Build bin/authsvc, static, with its version
	CGO_ENABLED=0 go build $(BUILD_FLAGS) -o bin/authsvc ./cmd/authsvc

.PHONY: image
image: ## Build the container image authsvc, with its version
	docker build --build-arg GOPROXY --build-arg VERSION='$(VERSION)' --build-arg COMMIT='$(COMMIT)' -t authsvc .

.PHONY: run
run: build ## Run the service, configured by the environment
	bin/authsvc serve

.PHONY: demo
demo: build ## Run the service on an embedded directory with sample users
	bin/authsvc demo

.PHONY: test
test: ## Run all tests with the race detector; as root on Debian installs what they need
	scripts/install-test-deps
	go test $(RACE) -timeout 20m ./...

.PHONY: test-proxies
test-proxies: ## Build Caddy and Traefik from source, minutes the first time, and run the tests of forward authentication
	scripts/install-test-deps
	scripts/build-proxies
	go test -count 1 -run '^TestForward_' ./deploy -proxies '$(CURDIR)/bin/proxies'

.PHONY: test-fresh
test-fresh: ## Run make test, without the race detector, from a clean clone in a container of Go, git and make
	scripts/test-fresh

.PHONY: test-compose
test-compose: ## Build and start docker-compose.yml, log in, restart the directory, stop
	scripts/test-compose

.PHONY: test-scaled
test-scaled: ## Start three replicas with deploy/scaled, guess a password, restart one after the other under logins
	scripts/test-scaled

.PHONY: test-chart
test-chart: ## Test the Helm chart: what it renders, which values it rejects, and the copies in it
	cd deploy/helm/charttest && go mod tidy -diff && go vet ./... && go test -count 1 -timeout 10m ./...

.PHONY: lint
lint: ## Run every check that only reads: gofmt, vet, golangci-lint, prose, shellcheck, go mod
	scripts/lint

.PHONY: bench
bench: ## Run the benchmarks (BENCH=regexp, BENCHCOUNT=n); BASELINE=binary compares with another version's
	scripts/install-test-deps apache2 nginx
	AUTHSVC_BENCH_BASELINE='$(abspath $(BASELINE))' go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(BENCHCOUNT) ./...

.PHONY: cover
cover: ## Show the statements covered by tests, per package and in all
	mkdir -p bin
	go test -coverprofile=bin/cover.out ./...
	go tool cover -func=bin/cover.out | tail -n 1

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME)

.PHONY: soak
soak: ## Log in 300 times a second through mixed faults of two slapds, for DURATION (SEED=n draws others)
	go test -run '^TestSoak$$' -count 1 -timeout 0 -v ./cmd/authsvc -soak $(DURATION) -soakseed $(SEED)

.PHONY: docs
docs: ## Write docs/configuration.md from the code
	mkdir -p bin docs
	go run ./cmd/authsvc config --reference >bin/configuration.md
	mv bin/configuration.md docs/configuration.md

.PHONY: man
man: build ## Write the manual page bin/authsvc.1 from the program's help
	go run ./scripts/manpage bin/authsvc '$(VERSION)' "$$(git log -1 --format=%cs)" >bin/authsvc.1

.PHONY: chart
chart: ## Write deploy/kubernetes/authsvc.yaml from the Helm chart, and the chart's copies of alerts and dashboard
	cd deploy/helm/charttest && go test -run '^TestChart_' ./... -update

.PHONY: release
release: ## Make the release of the tag VERSION, in bin/release: programs, packages, checksums
	scripts/release '$(VERSION)'

.PHONY: test-release
test-release: ## Make a release twice and compare; install, upgrade and remove its packages in a container with systemd
	scripts/test-release

.PHONY: clean
clean: ## Remove what make made
	rm -rf bin
