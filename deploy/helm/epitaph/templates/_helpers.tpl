{{- define "epitaph.name" -}}
{{- if contains "epitaph" .Release.Name }}{{ .Release.Name | trunc 45 | trimSuffix "-" }}{{ else }}{{ printf "%s-epitaph" .Release.Name | trunc 45 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "epitaph.selector" -}}
app.kubernetes.io/name: epitaph
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "epitaph.labels" -}}
{{ include "epitaph.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "epitaph.keySecret" -}}
{{ .Values.gossipKey.existingSecret | default (printf "%s-gossip-key" (include "epitaph.name" .)) }}
{{- end }}

{{/* The members' names in DNS: a pod that is not ready has one, too. */}}
{{- define "epitaph.members" -}}
{{- $name := include "epitaph.name" . -}}
{{- $all := list -}}
{{- range $i := until (int .Values.replicas) -}}
{{- $all = append $all (printf "%s-%d.%s-members.$(POD_NAMESPACE).svc:7946" $name $i $name) -}}
{{- end -}}
{{ join "," $all }}
{{- end }}
