{{- define "spanloom.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels that select the pods of one service; they never change. Takes a list: root, service. */}}
{{- define "spanloom.selector" -}}
app.kubernetes.io/name: spanloom
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "spanloom.labels" -}}
{{ include "spanloom.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{/* The environment of every service. */}}
{{- define "spanloom.environment" -}}
- name: SPANLOOM_KAFKA_BOOTSTRAP
  value: {{ required "kafka.bootstrap: name the Kafka brokers, host:port,..." .Values.kafka.bootstrap | quote }}
- name: SPANLOOM_CLICKHOUSE_URL
{{- with .Values.clickhouse }}
  {{- if .existingSecret.name }}
  valueFrom: {secretKeyRef: {name: {{ .existingSecret.name | quote }}, key: {{ .existingSecret.key | quote }}}}
  {{- else }}
  value: {{ required "clickhouse.url or clickhouse.existingSecret.name: say where ClickHouse is" .url | quote }}
  {{- end }}
  {{- with .cluster }}
- name: SPANLOOM_CLICKHOUSE_CLUSTER
  value: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .Values.redis }}
  {{- if .existingSecret.name }}
- name: SPANLOOM_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ .existingSecret.name | quote }}, key: {{ .existingSecret.key | quote }}}}
  {{- else if .url }}
- name: SPANLOOM_REDIS_URL
  value: {{ .url | quote }}
  {{- end }}
{{- end }}
- name: SPANLOOM_HOST
  value: "0.0.0.0"
- name: SPANLOOM_DATA_DIR
  value: /tmp
{{- range $name, $value := .Values.settings }}
- name: SPANLOOM_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $secret := .Values.secretSettings }}
{{- if hasKey $.Values.settings $name }}{{ fail (printf "%s is in settings and in secretSettings: keep one" $name) }}{{ end }}
- name: SPANLOOM_{{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $secret.name | quote }}, key: {{ $secret.key | quote }}}}
{{- end }}
{{- end }}

{{/* The pod template of one service. Takes a dict: root, name, values, port; for some also environment and prices (a file's text). */}}
{{- define "spanloom.pod" -}}
{{- $service := list .root .name -}}
metadata:
  labels: {{- include "spanloom.labels" $service | nindent 4 }}
  {{- $annotations := merge (dict) .values.podAnnotations }}
  {{- with .prices }}{{ $_ := set $annotations "spanloom/prices" (sha256sum .) }}{{ end }}
  {{- with $annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false  # they would set SPANLOOM_... variables of their own
  terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
  securityContext: {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "spanloom.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [{{ .name }}]
      env:
        {{- include "spanloom.environment" .root | nindent 8 }}
        # The drain ends before Kubernetes loses patience.
        - name: SPANLOOM_DRAIN_TIMEOUT
          value: {{ sub .values.terminationGracePeriodSeconds 5 }}s
        {{- with .environment }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if .prices }}
        - name: SPANLOOM_PRICES_FILE
          value: /etc/spanloom/prices.toml
        {{- end }}
      ports:
        - {name: http, containerPort: {{ .port }}}
      startupProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 5, failureThreshold: {{ div .values.startupSeconds 5 }}}
      readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5}
      # Only that the process answers: Kafka or ClickHouse being away is no reason to start it again.
      livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      {{- with .values.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - {name: scratch, mountPath: /tmp}
        {{- if .prices }}
        - {name: prices, mountPath: /etc/spanloom, readOnly: true}
        {{- end }}
  volumes:
    - {name: scratch, emptyDir: {}}
    {{- if .prices }}
    - {name: prices, configMap: {name: {{ include "spanloom.name" .root }}-prices}}
    {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "spanloom.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
