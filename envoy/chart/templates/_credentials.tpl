{{/* The volume with a container's credential: `name` is reader or writer. */}}
{{- define "mirror-on-miss.credential" -}}
{{- $values := get .credentials .name }}
{{- if eq .credentials.type "irsa" }}
projected:
  defaultMode: 0440
  sources:
  - serviceAccountToken:
      path: token
      audience: {{ $values.audience }}
      expirationSeconds: {{ int .credentials.tokenExpirationSeconds }}
{{- else }}
secret:
  secretName: {{ $values.existingSecret }}
  defaultMode: 0440
  {{- $file := printf "%s.credentials" .name }}
  {{- if ne $values.key $file }}
  items:
  - {key: {{ $values.key | quote }}, path: {{ $file }}}
  {{- end }}
{{- end }}
{{- end }}

{{- define "mirror-on-miss.envOfARole" -}}
{{- $role := dict "name" "AWS_ROLE_ARN" "value" .roleArn }}
{{- $session := dict "name" "AWS_ROLE_SESSION_NAME" "value" (printf "mirror-on-miss-%s" .name) }}
{{- toJson (list $role $session (dict "name" "AWS_WEB_IDENTITY_TOKEN_FILE" "value" "/etc/mirror-on-miss/token")) }}
{{- end }}

{{- define "mirror-on-miss.envOfTheSigner" -}}
{{- if eq .Values.credentials.type "irsa" }}
{{- include "mirror-on-miss.envOfARole" (dict "name" "signer" "roleArn" .Values.credentials.writer.roleArn) }}
{{- else if eq .Values.credentials.type "podIdentity" }}
{{- toJson (list (dict "name" "CREDENTIALS" "value" "aws")) }}
{{- else }}[]{{ end }}
{{- end }}

{{- define "mirror-on-miss.envOfTheEdge" -}}
{{- $module := dict "name" "MODULE" "value" (eq .Values.module.source "image" | ternary "/opt/module/plugin.wasm" "/opt/mirror-on-miss/plugin.wasm") }}
{{- if eq .Values.credentials.type "irsa" }}
{{- $role := fromJsonArray (include "mirror-on-miss.envOfARole" (dict "name" "edge" "roleArn" .Values.credentials.reader.roleArn)) }}
{{- toJson (append $role $module) }}
{{- else }}
{{- toJson (list $module) }}
{{- end }}
{{- end }}
