{{- define "labels" -}}
app.kubernetes.io/part-of: sentiment
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* metadata of what is in the release's namespace: (list $ "bridge") */}}
{{- define "metadata" -}}
name: {{ index . 1 }}
namespace: {{ (index . 0).Release.Namespace }}
labels: {{- include "labels" (index . 0) | nindent 2 }}
{{- end }}

{{/* What Prometheus's operator chooses by. */}}
{{- define "monitoring-labels" -}}
{{- with .Values.monitoring.labels }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* An image of the project: (list $ "bridge") */}}
{{- define "image" -}}
{{- $root := index . 0 -}}
{{ required "registry: say where the cluster finds the images" $root.Values.registry }}/sentiment-{{ index . 1 }}:{{ $root.Values.tag }}
{{- with get $root.Values.digests (index . 1) }}@{{ . }}{{ end }}
{{- end }}

{{/* What a pod may: nothing at the cluster's API, and as the user and group that are given, never root. */}}
{{- define "pod-security" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch # else each start opens the Erlang cookie of a plain RabbitMQ to its group
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "container-security" -}}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}

{{- define "s3-url" -}}
{{- if eq .Values.servers.s3 "external" -}}
{{ required "settings.S3_ENDPOINT_URL: say where your store is" .Values.settings.S3_ENDPOINT_URL }}
{{- else -}}
http://minio.{{ .Release.Namespace }}.svc:9000
{{- end }}
{{- end }}

{{- define "gateway-url" -}}
{{ .Values.settings.GATEWAY_URL | default (printf "http://gateway.%s:8080" .Values.openfaas.namespace) }}
{{- end }}

{{/* The settings, as a list of variables. Large whole numbers of a file of values come as 1e+09. */}}
{{- define "environment" -}}
{{- $own := dict "S3_ENDPOINT_URL" (include "s3-url" .) "GATEWAY_URL" (include "gateway-url" .) -}}
{{- range $name, $value := merge $own .Values.settings }}
{{- if kindIs "float64" $value }}{{ if eq $value (floor $value) }}{{ $value = int64 $value }}{{ end }}{{ end }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{/* How many bridges can work at a time: a plain stream has one reader. */}}
{{- define "max-replicas" -}}
{{ max 1 (int (.Values.settings.STREAM_PARTITIONS | default 0)) }}
{{- end }}
{{- define "min-replicas" -}}
{{ min (int .Values.bridge.minReplicas) (int (include "max-replicas" .)) }}
{{- end }}

{{/*
A Job that may be run again, and is at each deployment: with the revision in it, its name is another one each time, since
a Job can't be changed. No hook: Helm would run those after the bridge is ready, which waits for the users that a Job
makes; and would leave them behind when the release goes.
(dict "root" $ "name" ... "image" ... "secrets" (where it finds its secret) "container" (the rest of it))
*/}}
{{- define "job" }}
{{- $checksum := list .root .name | include "secret-checksum" }}
{{- $spec := printf "%s %s %s %s" .image $checksum (.container | toJson) (.root.Files.Glob "files/*").AsConfig }}
apiVersion: batch/v1
kind: Job
metadata:
  {{- list .root (printf "%s-%d-%s" .name .root.Release.Revision (sha256sum $spec | trunc 8)) | include "metadata" | nindent 2 }}
spec:
  backoffLimit: 10
  template:
    metadata:
      labels: {app: {{ .name }}}
      annotations: {checksum/secret: {{ $checksum }}}
    spec:
      restartPolicy: OnFailure
      {{- include "pod-security" 10001 | nindent 6 }}
      containers:
        - name: {{ .name }}
          image: {{ .image }}
          {{- .container | toYaml | nindent 10 }}
          {{- include "container-security" . | nindent 10 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            - {name: secrets, mountPath: {{ .secrets }}, readOnly: true}
            - {name: scripts, mountPath: /scripts, readOnly: true}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 1Gi}
        - name: secrets
          secret: {secretName: {{ .name }}}
        - name: scripts
          configMap: {name: scripts}
{{- end }}

{{/*
A server of one node, with a volume:
(dict "root" $ "name" ... "labels" ... "service" ... "user" ... "data" (where its volume is) "ports" ... "mounts" (more of
them) "container" (the rest of it))
*/}}
{{- define "plain-server" }}
{{- $size := index .root.Values .name }}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- list .root .name | include "metadata" | nindent 2 }}
spec:
  serviceName: {{ .service }}
  replicas: 1
  selector:
    matchLabels: {{- toYaml .labels | nindent 6 }}
  template:
    metadata:
      labels: {{- toYaml .labels | nindent 8 }}
      annotations: {checksum/secret: {{ list .root .name | include "secret-checksum" }}}
    spec:
      {{- include "pod-security" .user | nindent 6 }}
      containers:
        - name: {{ .name }}
          image: {{ index .root.Values.images .name }}
          {{- .container | toYaml | nindent 10 }}
          resources:
            requests: {cpu: {{ $size.cpu | quote }}, memory: {{ $size.memory }}}
            limits: {memory: {{ $size.memory }}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts:
            - {name: data, mountPath: {{ .data }}}
            - {name: secrets, mountPath: /run/secrets, readOnly: true}
            {{- with .mounts }}{{ toYaml . | nindent 12 }}{{ end }}
      volumes:
        - name: secrets
          secret: {secretName: {{ .name }}}
        - name: scripts
          configMap: {name: scripts}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        resources:
          requests: {storage: {{ $size.storage }}}
---
apiVersion: v1
kind: Service
metadata:
  {{- list .root .service | include "metadata" | nindent 2 }}
spec:
  selector: {{- toYaml .labels | nindent 4 }}
  ports:
    {{- range .ports }}
    - {name: p{{ . }}, port: {{ . }}}
    {{- end }}
{{- end }}

{{/* A rule of a network policy, in JSON: (list $ "from" or "to", peer, ports) */}}
{{- define "network-rule" -}}
{{- $root := index . 0 }}{{ $peer := index . 2 }}{{ $rule := dict }}{{ $ports := list }}
{{- if not $peer.anywhere }}
{{- $namespace := dict "kubernetes.io/metadata.name" ($peer.namespace | default $root.Release.Namespace) }}
{{- $selector := dict "namespaceSelector" (dict "matchLabels" $namespace) }}
{{- if $peer.pod }}{{ $_ := set $selector "podSelector" (dict "matchLabels" $peer.pod) }}{{ end }}
{{- $_ := set $rule (index . 1) (list $selector) }}
{{- end }}
{{- range index . 3 }}{{ $ports = append $ports (dict "port" .) }}{{ end }}
{{- if $ports }}{{ $_ := set $rule "ports" $ports }}{{ end }}
{{- toJson $rule }}
{{- end }}
