{{/* The name that begins every object's. With the longest suffix, -dashboard, it has at most 63 characters. */}}
{{- define "authsvc.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- $name = printf "%s-%s" .Chart.Name .Release.Name -}}{{/* a Service's name begins with a letter */}}
{{- end -}}
{{- end -}}
{{- $name | replace "." "-" | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "authsvc.selectorLabels" -}}
app.kubernetes.io/name: authsvc
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "authsvc.labels" -}}
{{ include "authsvc.selectorLabels" . }}
{{- with .Values.image.tag }}
app.kubernetes.io/version: {{ . | trunc 63 | trimAll "-._" | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "authsvc.image" -}}
{{- with .Values.image -}}
{{- if not (or .tag .digest) -}}
{{- fail "image.tag or image.digest is required" -}}
{{- end -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end -}}

{{/* A setting as text: Helm reads numbers as floating point, which would print 10000000 as 1e+07. */}}
{{- define "authsvc.text" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The seconds of one of Go's durations, rounded up. */}}
{{- define "authsvc.seconds" -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll `[0-9.]+[a-zµ]+` . -1 -}}
{{- $number := regexFind `[0-9.]+` . | float64 -}}
{{- $unit := regexFind `[a-zµ]+` . -}}
{{- $length := get (dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001) $unit | default 0.000001 -}}
{{- $seconds = addf $seconds (mulf $number $length) -}}
{{- end -}}
{{- ceil $seconds | int64 -}}
{{- end -}}

{{/* The grace period: both times of the shutdown, and 5 s for the process to end. */}}
{{- define "authsvc.graceSeconds" -}}
{{- $s := .Values.settings -}}
{{- add 5 (include "authsvc.seconds" $s.HTTP_SHUTDOWN_DELAY) (include "authsvc.seconds" $s.HTTP_SHUTDOWN_TIMEOUT) -}}
{{- end -}}

{{- define "authsvc.maxReplicas" -}}
{{- .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicas -}}
{{- end -}}

{{- define "authsvc.minReplicas" -}}
{{- .Values.autoscaling.enabled | ternary .Values.autoscaling.minReplicas .Values.replicas -}}
{{- end -}}

{{/*
LDAP_POOL_MAX_CONNS. A rolling update has one replica more (maxSurge), and one that still drains: minReadySeconds keeps
the next from draining before that one has ended.
*/}}
{{- define "authsvc.poolMaxConns" -}}
{{- $processes := add 2 (include "authsvc.maxReplicas" .) -}}
{{- $share := div (int64 .Values.directory.maxConnections) $processes -}}
{{- if lt $share 2 -}}
{{- fail (printf "directory.maxConnections: %v connections for %d replicas, and two during a rolling update, are less than 2 for each: raise it to %d, or have fewer replicas" .Values.directory.maxConnections (sub $processes 2) (mul 2 $processes)) -}}
{{- end -}}
{{- $share = min $share 10000 -}}
{{- $idle := .Values.settings.LDAP_POOL_MIN_IDLE_CONNS | default 0 | int64 -}}
{{- if gt (mul 2 $idle) $share -}}
{{- fail (printf "settings.LDAP_POOL_MIN_IDLE_CONNS: %d is more than half of the %d connections that directory.maxConnections leaves each replica" $idle $share) -}}
{{- end -}}
{{- $share -}}
{{- end -}}

{{/* The ports of LDAP_URL, as a JSON list. Records in the DNS usually name 389. */}}
{{- define "authsvc.directoryPorts" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.settings.LDAP_URL -}}
{{- $url := trim . | trimSuffix "/" -}}
{{- $port := regexFind `:[0-9]+$` $url | trimPrefix ":" | int -}}
{{- $ports = append $ports ($port | default (hasPrefix "ldaps://" $url | ternary 636 389)) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* Whether the main listener speaks HTTPS: the name of its port. */}}
{{- define "authsvc.scheme" -}}
{{- hasKey .Values.files "HTTP_TLS_CERT_FILE" | ternary "https" "http" -}}
{{- end -}}

{{/* What values.schema.json cannot say. */}}
{{- define "authsvc.check" -}}
{{- $v := .Values -}}
{{- range $variable, $file := $v.files -}}
{{- if not (or $file.secret $file.configMap $v.existingSecret) -}}
{{- fail (printf "files.%s: set its secret or configMap, or existingSecret for all files" $variable) -}}
{{- end -}}
{{- end -}}
{{- range list "LDAP" "HTTP_TLS" "AUTH_THROTTLE_REDIS" -}}
{{- $cert := printf "%s_CERT_FILE" . -}}
{{- $key := printf "%s_KEY_FILE" . -}}
{{- if ne (hasKey $v.files $cert) (hasKey $v.files $key) -}}
{{- fail (printf "files.%s and files.%s need each other" $cert $key) -}}
{{- end -}}
{{- end -}}
{{- if eq (toString $v.settings.LDAP_BIND_METHOD) "external" -}}
{{- if not (hasKey $v.files "LDAP_CERT_FILE") -}}
{{- fail "settings.LDAP_BIND_METHOD: external needs a client certificate: set files.LDAP_CERT_FILE and files.LDAP_KEY_FILE" -}}
{{- end -}}
{{- if hasKey $v.files "LDAP_BIND_PASSWORD_FILE" -}}
{{- fail "settings.LDAP_BIND_METHOD: external takes no files.LDAP_BIND_PASSWORD_FILE: the directory derives the identity from the certificate" -}}
{{- end -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas: %v is more than autoscaling.maxReplicas, %v" $v.autoscaling.minReplicas $v.autoscaling.maxReplicas) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not (dig "requests" "cpu" "" $v.resources)) -}}
{{- fail "resources.requests.cpu is required with autoscaling, which compares the used CPU with it" -}}
{{- end -}}
{{- if and $v.metrics.serviceMonitor.enabled (not $v.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor needs metrics.enabled: otherwise nothing but the pod itself reaches the admin listener" -}}
{{- end -}}
{{- if and $v.metrics.enabled $v.networkPolicy.enabled (not $v.networkPolicy.monitoring) -}}
{{- fail "networkPolicy.monitoring: say who may reach the admin listener, which has no access control; for example [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" -}}
{{- end -}}
{{- if and $v.forwardListener.enabled (eq (int $v.forwardListener.port) (int $v.service.port)) -}}
{{- fail (printf "forwardListener.port: %v is also service.port" $v.forwardListener.port) -}}
{{- end -}}
{{- end -}}
