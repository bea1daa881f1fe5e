{{/*
The files of Envoy, by their names. The module's configuration is JSON within an edge's YAML: what `plugin.config` says is
merged over it, and the text around it stays as it is, because start.sh puts the names of the site into it.
*/}}
{{- define "mirror-on-miss.configuration" -}}
{{- $files := deepCopy .Values.configurationFiles }}
{{- range $path, $bytes := .Files.Glob "files/configuration/*" }}
{{- $name := base $path }}
{{- if not (hasKey $files $name) }}
{{- $text := toString $bytes }}
{{- if has $name (list "edge.yaml" "transparent.yaml") }}
{{- $text = include "mirror-on-miss.edge" (dict "root" $ "text" $text) }}
{{- end }}
{{- $_ := set $files $name $text }}
{{- end }}
{{- end }}
{{- toYaml $files }}
{{- end }}

{{- define "mirror-on-miss.edge" -}}
{{- $text := .text }}
{{- with .root.Values.plugin.config }}
{{- $block := regexFind "(?s) +value: \\|\n +\\{\n.*?\n +\\}\n +vm_config:" $text }}
{{- $shipped := regexFind "(?s)\\{\n.*\n +\\}" $block }}
{{- $indent := regexFind "^ +" $block | len }}
{{- $json := include "mirror-on-miss.merged" (dict "base" $shipped "over" .) | indent (int (add $indent 2)) }}
{{- $vm := regexFind "\n +vm_config:$" $block }}
{{- $text = $text | replace $block (printf "%svalue: |\n%s%s" (repeat $indent " ") $json $vm) }}
{{- end }}
{{- with .root.Values.plugin.env }}
{{- $lines := printf "\n${1}vm_id: mirror_on_miss\n${1}environment_variables: {host_env_keys: %s}\n" (toJson .) }}
{{- $text = regexReplaceAll "\n( +)vm_id: mirror_on_miss\n" $text $lines }}
{{- end }}
{{- range .root.Values.extraClusters }}
{{- $text = printf "%s  - %s\n" $text (include "mirror-on-miss.kept" (toJson .)) }}
{{- end }}
{{- $text }}
{{- end }}

{{/*
JSON of `over` merged over the JSON text `base`. The examples of `base` are kept from what is done to those of `over`.
*/}}
{{- define "mirror-on-miss.merged" -}}
{{- $base := .base | replace "my-bucket" "\ue000" | replace "eu-west-1" "\ue001" | replace "files.example.com" "\ue002" | fromJson }}
{{- if hasKey .over "origins" }}{{ $_ := unset $base "origin" }}{{ end }}
{{- $merged := mergeOverwrite $base (deepCopy .over) }}
{{- include "mirror-on-miss.kept" (toPrettyJson $merged) | replace "\ue000" "my-bucket" | replace "\ue001" "eu-west-1" | replace "\ue002" "files.example.com" }}
{{- end }}

{{/*
JSON in which start.sh finds none of its examples: it replaces them in all of the file, and an origin may well be a bucket of
eu-west-1.
*/}}
{{- define "mirror-on-miss.kept" -}}
{{ . | replace "my-bucket" "my-\\u0062ucket" | replace "eu-west-1" "eu-west-\\u0031" | replace "files.example.com" "\\u0066iles.example.com" }}
{{- end }}

{{/* The variables of start.sh, for edge and signer alike. */}}
{{- define "mirror-on-miss.settings" -}}
{{- $settings := dict "AWS_REGION" .Values.bucket.region "BUCKET" .Values.bucket.name "ORIGIN" .Values.origin.url }}
{{- $heap := include "mirror-on-miss.heap" . }}
{{- $others := dict "STORE" .Values.bucket.endpoint }}
{{- $_ := set $others "STORE_KIND" .Values.bucket.kind }}
{{- $_ := set $others "ADDRESSING_STYLE" .Values.bucket.addressingStyle }}
{{- $_ := set $others "IF_NONE_MATCH" .Values.bucket.ifNoneMatch }}
{{- if include "mirror-on-miss.authorities" . }}
{{- $_ := set $others "CA_FILE" (printf "/etc/mirror-on-miss-authorities/%s" .Values.authorities.key) }}
{{- end }}
{{- $_ := set $others "ON_5XX" (.Values.bucket.on5xx | trimPrefix "pass") }}
{{- $_ := set $others "CREDENTIALS" (eq .Values.credentials.type "irsa" | ternary "aws" "") }}
{{- $_ := set $others "HEAP_MIB" (eq $heap "512" | ternary "" $heap) }}
{{- range $name, $value := $others }}
{{- if $value }}{{ $_ := set $settings $name $value }}{{ end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- $_ := set $settings $name (toString $value) }}
{{- end }}
{{- toYaml $settings }}
{{- end }}
