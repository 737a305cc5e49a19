{{/* The Secrets: of each its keys, with the credential that has the value. A part finds its own alone. */}}
{{- define "secrets" -}}
{{- $table := .Files.Get "files/secrets.json" | fromJson }}
{{- $found := $table.always }}
{{- range $server, $by := .Values.servers }}
{{- $found = get $table (printf "%s=%s" $server $by) | default dict | merge $found }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{/* What a pod is annotated with, so that it is rolled out when its secret changes: (list $ "bridge"). */}}
{{- define "secret-checksum" -}}
{{- $root := index . 0 -}}
{{- $values := list -}}
{{- range $key, $name := index (include "secrets" $root | fromJson) (index . 1) -}}
{{- $values = append $values (get $root.Values.credentials $name) -}}
{{- end -}}
{{ $values | toJson | sha256sum }}
{{- end }}
