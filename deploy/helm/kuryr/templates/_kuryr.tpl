{{/* The same objects as crates/kuryr/src/install/objects makes; a test compares them. */}}

{{- define "kuryr.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "kuryr.labels" -}}
labels: {app.kubernetes.io/name: kuryr}
{{- end }}

{{/* The Secret the controller reads its credentials from; empty if it is told none. */}}
{{- define "kuryr.secret" -}}
{{- if .Values.cloud.existingSecret }}{{ .Values.cloud.existingSecret }}
{{- else if or .Values.cloud.authUrl .Values.cloud.cloudsYaml }}kuryr-cloud{{ end }}
{{- end }}

{{- define "kuryr.apiRoot" -}}
{{- if not .host }}""{{ else if contains ":" .host }}https://[{{ .host }}]:{{ .port | int }}{{ else }}https://{{ .host }}:{{ .port | int }}{{ end }}
{{- end }}

{{- define "kuryr.conf" -}}
{{- if .Values.config }}{{ .Values.config }}{{ else }}
{{- $network := .Values.network -}}
[DEFAULT]
debug = {{ .Values.log.debug }}
use_json = {{ .Values.log.json }}

[kuryr]
cluster_name = {{ .Values.cluster.name }}

[kubernetes]
api_root = {{ include "kuryr.apiRoot" .Values.apiServer }}
pod_vif_driver = {{ $network.driver }}
vif_pool_driver = {{ .Values.pools.driver }}

[neutron_defaults]
project = {{ required "network.project is not set; give the id of the project that ports are made in" $network.project }}
pod_subnet = {{ join "," $network.podSubnets | required "network.podSubnets is not set; give the id of the pods' subnet" }}
{{- with $network.podSecurityGroups }}
pod_security_groups = {{ join "," . }}
{{- end }}
{{- with $network.serviceSubnet }}
service_subnet = {{ . }}
{{- end }}
{{- with $network.externalNetwork }}
external_svc_net = {{ . }}
{{- end }}
{{- with $network.bridge }}
ovs_bridge = {{ . }}
{{- end }}
network_device_mtu = {{ $network.mtu | int }}
{{- with $network.tags }}
resource_tags = {{ join "," . }}
{{- end }}
{{- if ne .Values.pools.driver "noop" }}

[vif_pool]
ports_pool_min = {{ .Values.pools.min | int }}
ports_pool_max = {{ .Values.pools.max | int }}
ports_pool_batch = {{ .Values.pools.batch | int }}
{{- end }}
{{- range $section, $options := .Values.options }}

[{{ $section }}]
{{- range $name, $value := $options }}
{{ $name }} = {{ if kindIs "string" $value }}{{ $value }}{{ else }}{{ $value | toJson }}{{ end }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}

{{/* A line that arrives letter by letter: quotes keep blanks and quotes, and a dollar would be a reference. */}}
{{- define "kuryr.secretLine" -}}
{{- if .value }}
{{ .name }} = "{{ .value | replace "$" "$$" }}"
{{- end }}
{{- end }}

{{- define "kuryr.cloudConf" -}}
[neutron]
{{- $cloud := .Values.cloud }}
{{- include "kuryr.secretLine" (dict "name" "auth_url" "value" $cloud.authUrl) }}
{{- include "kuryr.secretLine" (dict "name" "region_name" "value" $cloud.region) }}
{{- include "kuryr.secretLine" (dict "name" "endpoint_type" "value" $cloud.endpointType) }}
{{- if $cloud.applicationCredentialId }}
{{- include "kuryr.secretLine" (dict "name" "application_credential_id" "value" $cloud.applicationCredentialId) }}
{{- include "kuryr.secretLine" (dict "name" "application_credential_secret" "value" $cloud.applicationCredentialSecret) }}
{{- else }}
{{- include "kuryr.secretLine" (dict "name" "username" "value" $cloud.username) }}
{{- include "kuryr.secretLine" (dict "name" "user_domain_name" "value" $cloud.userDomain) }}
{{- include "kuryr.secretLine" (dict "name" "password" "value" $cloud.password) }}
{{- include "kuryr.secretLine" (dict "name" "project_name" "value" $cloud.projectName) }}
{{- include "kuryr.secretLine" (dict "name" "project_id" "value" $cloud.projectId) }}
{{- include "kuryr.secretLine" (dict "name" "project_domain_name" "value" $cloud.projectDomain) }}
{{- end }}
{{ end }}

{{- define "kuryr.podAnnotations" -}}
{{- $sum := printf "%s%s" (include "kuryr.conf" .root) .root.Values.cloud.ca | sha256sum -}}
{{ merge (dict "kuryr.openstack.org/configuration" $sum) .own | toJson }}
{{- end }}

{{/* Variables of both workloads. They win over kuryr.conf: what probes and mounts depend on is said beside them. */}}
{{- define "kuryr.environment" -}}
- {name: OS_KURYR__LISTEN_ADDRESS, value: {{ .Values.listenAddress | quote }}}
{{- with .Values.apiServer }}{{ if and .host $.Values.config }}
- {name: KUBERNETES_SERVICE_HOST, value: {{ .host | quote }}}
- {name: KUBERNETES_SERVICE_PORT, value: {{ .port | int | quote }}}
- {name: KUBERNETES_SERVICE_PORT_HTTPS, value: {{ .port | int | quote }}}
{{- end }}{{ end }}
{{- end }}

{{- define "kuryr.ports" -}}
{{- $ports := list -}}
{{- range $name, $port := dict "health" (int .healthPort) "metrics" (int .metricsPort) -}}
{{- if $port }}{{ $ports = append $ports (dict "name" $name "containerPort" $port "hostPort" $port "protocol" "TCP") }}{{ end -}}
{{- end -}}
ports: {{ $ports | toJson }}
{{- end }}

{{- define "kuryr.probes" -}}
{{- $host := "" -}}
{{- if not (has .root.Values.listenAddress (list "" "0.0.0.0" "::")) }}{{ $host = printf ", host: %q" .root.Values.listenAddress }}{{ end -}}
{{- if int .port -}}
readinessProbe:
  httpGet: {path: /ready, port: {{ int .port }}{{ $host }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /alive, port: {{ int .port }}{{ $host }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}
{{- end }}
