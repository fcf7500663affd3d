{{/* Name of every object of the release. */}}
{{- define "deepseek-operator.name" -}}
{{- if contains "deepseek-operator" .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-deepseek-operator" (.Release.Name | trunc 35 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "deepseek-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "deepseek-operator.name" .) -}}
{{- end -}}

{{/* Labels that select the operator's pod; they never change. */}}
{{- define "deepseek-operator.selector" -}}
app.kubernetes.io/name: deepseek-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "deepseek-operator.labels" -}}
{{ include "deepseek-operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: deepseek-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "deepseek-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/*
What the operator does inside a watched namespace. Secrets are only ever referenced, so none can be read.
Server-side apply needs patch, and create for an object that does not exist yet; get tells whose an object of that name is.
tests/cluster/test_rights.py proves that each of these verbs is used.
*/}}
{{- define "deepseek-operator.namespacedRules" -}}
- apiGroups: [deepseek-operator.io]
  resources: [deepseekdeployments]
  verbs: [list, watch]
- apiGroups: [deepseek-operator.io]
  resources: [deepseekdeployments/status]
  verbs: [patch]
# Once, when scaling.owner becomes External: what runs is handed over to the scaler.
- apiGroups: [deepseek-operator.io]
  resources: [deepseekdeployments/scale]
  verbs: [patch]
# Owner references with blockOwnerDeletion need it where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [deepseek-operator.io]
  resources: [deepseekdeployments/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [leaderworkerset.x-k8s.io]
  resources: [leaderworkersets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [resource.k8s.io]
  resources: [resourceclaimtemplates]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods, resourcequotas]
  verbs: [list, watch]
# A replica over several nodes is restarted as a unit, where LeaderWorkerSet does not do it.
- apiGroups: [""]
  resources: [pods]
  verbs: [delete]
# The annotation that says which replica goes first; through this subresource nothing of what a pod runs can be changed.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
