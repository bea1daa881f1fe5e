{{- define "mirror-on-miss.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The names of objects. 49 characters leave room for `-configuration`. */}}
{{- define "mirror-on-miss.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 49 | trimSuffix "-" }}
{{- else if contains (include "mirror-on-miss.name" .) .Release.Name }}
{{- .Release.Name | trunc 49 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "mirror-on-miss.name" .) | trunc 49 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mirror-on-miss.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "mirror-on-miss.fullname" .) "default") }}
{{- end }}

{{/* Name, instance and component, and nothing else: a Deployment's selector can never be changed. */}}
{{- define "mirror-on-miss.site" -}}
app.kubernetes.io/name: {{ include "mirror-on-miss.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mirror-on-miss.gateway" -}}
{{ include "mirror-on-miss.site" . }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "mirror-on-miss.front" -}}
{{ include "mirror-on-miss.site" . }}
app.kubernetes.io/component: front
{{- end }}

{{- define "mirror-on-miss.labels" -}}
{{ include "mirror-on-miss.site" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: mirror-on-miss
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object: a dict with `root`, and perhaps `name` or `suffix`, `component`, `labels`, `annotations`. */}}
{{- define "mirror-on-miss.metadata" -}}
name: {{ .name | default (printf "%s%s" (include "mirror-on-miss.fullname" .root) (.suffix | default "")) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "mirror-on-miss.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* An image by a dict with repository, digest and tag. */}}
{{- define "mirror-on-miss.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "mirror-on-miss.envoy" -}}
image: {{ include "mirror-on-miss.image" .Values.image | quote }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{/* The source of the volume with the authorities, if there are any. */}}
{{- define "mirror-on-miss.authorities" -}}
{{- with .Values.authorities.configMap }}
configMap: {name: {{ . }}}
{{- end }}
{{- with .Values.authorities.secret }}
secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{/* The command of a container: a dict with `name` of the configuration, and `values` of the container. */}}
{{- define "mirror-on-miss.command" -}}
- /bin/sh
- /opt/configuration/start.sh
- {{ .name }}
- --concurrency
- {{ .values.concurrency | quote }}
{{- if ne .values.logLevel "info" }}
- --log-level
- {{ .values.logLevel }}
{{- end }}
{{- range .values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* `limits.memory` of the module in MiB. */}}
{{- define "mirror-on-miss.memoryOfAWorker" -}}
{{- $memory := dig "limits" "memory" "128MiB" .Values.plugin.config }}
{{- $unit := regexFind "[KMGT]iB$" $memory }}
{{- $factor := get (dict "KiB" (divf 1 1024) "MiB" 1.0 "GiB" 1024.0 "TiB" 1048576.0 "" (divf 1 1048576)) $unit }}
{{- mulf (regexFind "^[0-9.]+" $memory) $factor | ceil | int }}
{{- end }}

{{- define "mirror-on-miss.mebibytes" -}}
{{ if mod . 1024 }}{{ . }}Mi{{ else }}{{ div . 1024 }}Gi{{ end }}
{{- end }}

{{/* Envoy's own memory without the module: what Envoy has, and the parts of each worker. docs/limits.md, "Memory". */}}
{{- define "mirror-on-miss.heap" -}}
{{ add 256 (mul .Values.edge.concurrency (include "mirror-on-miss.memoryOfAWorker" . | int)) }}
{{- end }}

{{- define "mirror-on-miss.resourcesOfTheEdge" -}}
{{- $worker := include "mirror-on-miss.memoryOfAWorker" . | int }}
{{- $limit := add 256 (mul 3 .Values.edge.concurrency $worker) }}
{{- $requests := dict "cpu" "500m" "memory" (include "mirror-on-miss.mebibytes" (include "mirror-on-miss.heap" . | int)) "ephemeral-storage" "32Mi" }}
{{- $resources := dict "requests" $requests "limits" (dict "memory" (include "mirror-on-miss.mebibytes" $limit)) }}
{{- toYaml (mergeOverwrite $resources (deepCopy .Values.edge.resources)) }}
{{- end }}

{{/* The port of a URL. */}}
{{- define "mirror-on-miss.port" -}}
{{- $url := urlParse . }}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "http" | ternary "80" "443") }}
{{- end }}

{{- define "mirror-on-miss.egressPorts" -}}
{{- $ports := list 443 }}
{{- range compact (list .Values.bucket.endpoint .Values.origin.url) }}
{{- $ports = append $ports (include "mirror-on-miss.port" . | int) }}
{{- end }}
{{- range .Values.networkPolicy.egressPorts }}
{{- $ports = append $ports (int .) }}
{{- end }}
{{- uniq $ports | toJson }}
{{- end }}

{{/* The fields of a pod that both Deployments have: a dict with `root` and the labels that select it. */}}
{{- define "mirror-on-miss.pod" -}}
{{- $values := .root.Values }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- with $values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- .selector | nindent 6 }}
{{- end }}
{{- range $name := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" "hostAliases" "dnsPolicy" "dnsConfig" }}
{{- with get $values $name }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if not (kindIs "invalid" $values.hostUsers) }}
hostUsers: {{ $values.hostUsers }}
{{- end }}
{{- end }}

{{/* Probes by the port of that name. */}}
{{- define "mirror-on-miss.startupAndLiveness" -}}
startupProbe:
  httpGet: {path: /ready, port: {{ . }}}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  tcpSocket: {port: {{ . }}}
  periodSeconds: 10
  failureThreshold: 6
{{- end }}

{{- define "mirror-on-miss.readiness" -}}
readinessProbe:
  httpGet: {path: /ready, port: {{ . }}}
  periodSeconds: 2
  failureThreshold: 1
{{- end }}

{{/* Of Deployments. */}}
{{- define "mirror-on-miss.rollout" -}}
{{- range $name := list "minReadySeconds" "revisionHistoryLimit" }}
{{- if not (kindIs "invalid" (get $.Values $name)) }}
{{ $name }}: {{ get $.Values $name }}
{{- end }}
{{- end }}
strategy:
  {{- toYaml .Values.updateStrategy | nindent 2 }}
{{- end }}
