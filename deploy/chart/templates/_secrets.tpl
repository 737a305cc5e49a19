{{/* The Secrets: of each its keys, with the credential that has the value. A part finds its own alone. */}}
{{- define "secrets" -}}
bridge: {mongodb-url: bridge-mongodb-url, rabbitmq-url: bridge-rabbitmq-url, rabbitmq-stream-url: bridge-rabbitmq-stream-url, retrain-token: bridge-retrain-token, ca-certificates: ca-certificates}
bootstrap: {s3-access-key: s3-access-key, s3-secret-key: s3-secret-key, model-signing-key: model-signing-key, model-public-key: model-public-key, ca-certificates: ca-certificates}
test: {rabbitmq-url: reviews-rabbitmq-url, rabbitmq-stream-url: reviews-rabbitmq-stream-url, ca-certificates: ca-certificates}
{{- if eq .Values.servers.s3 "chart" }}
minio: {s3-access-key: s3-access-key, s3-secret-key: s3-secret-key}
minio-users:
  s3-access-key: s3-access-key
  s3-secret-key: s3-secret-key
  {{- range $part := list "predict" "drift" "retrain" }}{{ range list "access-key" "secret-key" "policy" }}
  {{ $part }}-s3-{{ . }}: {{ $part }}-s3-{{ . }}
  {{- end }}{{ end }}
{{- end }}
{{- if eq .Values.servers.rabbitmq "operator" }}
rabbitmq-users: {rabbitmq-definitions: rabbitmq-definitions}
{{- else if eq .Values.servers.rabbitmq "chart" }}
rabbitmq: {rabbitmq-definitions: rabbitmq-definitions, rabbitmq.conf: rabbitmq.conf}
{{- end }}
{{- if eq .Values.servers.mongodb "operator" }}
mongodb-sentiment: {password: mongodb-password}
{{- range .Files.Get "files/mongodb-roles.json" | fromJsonArray }}
mongodb-{{ .role }}: {password: {{ .role }}-mongodb-password}
{{- end }}
{{- else if eq .Values.servers.mongodb "chart" }}
mongodb: {mongodb-password: mongodb-password}
mongodb-users: {mongodb-url: mongodb-url, mongodb-users: mongodb-users}
{{- end }}
{{- end }}

{{/* What a pod is annotated with, so that it is rolled out when its secret changes: (list $ "bridge"). */}}
{{- define "secret-checksum" -}}
{{- $root := index . 0 -}}
{{- $values := list -}}
{{- range $key, $name := index (include "secrets" $root | fromYaml) (index . 1) -}}
{{- $values = append $values (get $root.Values.credentials $name) -}}
{{- end -}}
{{ $values | toJson | sha256sum }}
{{- end }}
