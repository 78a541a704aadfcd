{{- define "podjoule.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "podjoule.fullname" -}}
{{- $name := include "podjoule.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- /* Cluster-wide objects carry the namespace in their name: two releases of one name do not meet. */ -}}
{{- define "podjoule.clusterName" -}}
{{ printf "%s:%s" .Release.Namespace (include "podjoule.fullname" .) }}
{{- end }}

{{- define "podjoule.selectorLabels" -}}
app.kubernetes.io/name: {{ include "podjoule.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Those of the pods: without versions, so that a new chart alone does not replace them. */ -}}
{{- define "podjoule.podLabels" -}}
{{ include "podjoule.selectorLabels" . }}
app.kubernetes.io/component: exporter
app.kubernetes.io/part-of: podjoule
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "podjoule.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "podjoule.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "podjoule.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "podjoule.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{- define "podjoule.image" -}}
{{- $image := .Values.image -}}
{{- $tag := $image.tag | default (printf "%s%s" .Chart.AppVersion (ternary "-bcc" "" .Values.bcc.enabled)) -}}
{{ $image.repository }}{{ ternary (printf "@%s" $image.digest) (printf ":%s" $tag) (ne $image.digest "") }}
{{- end }}

{{- /* Whether a web configuration file is mounted, and the name of the Secret it comes from. */ -}}
{{- define "podjoule.webSecret" -}}
{{- if .Values.web.existingSecret -}}
{{ .Values.web.existingSecret }}
{{- else if or .Values.web.tls.enabled .Values.web.config -}}
{{ include "podjoule.fullname" . }}-web
{{- end -}}
{{- end }}

{{- define "podjoule.tlsSecret" -}}
{{- if .Values.web.tls.enabled -}}
{{- if .Values.web.tls.existingSecret -}}
{{ .Values.web.tls.existingSecret }}
{{- else if .Values.web.tls.certificate -}}
{{ include "podjoule.fullname" . }}-tls
{{- end -}}
{{- end -}}
{{- end }}

{{- /* exporter-toolkit's file: the certificate that the chart mounts, under what web.config says besides. */ -}}
{{- define "podjoule.webConfig" -}}
{{- $config := deepCopy .Values.web.config -}}
{{- if .Values.web.tls.enabled -}}
{{- $files := dict "cert_file" "/etc/podjoule/tls/tls.crt" "key_file" "/etc/podjoule/tls/tls.key" -}}
{{- $config = merge (dict "tls_server_config" $files) $config -}}
{{- end -}}
{{ toYaml $config }}
{{- end }}

{{- /* Where the state is kept. */ -}}
{{- define "podjoule.stateType" -}}
{{ .Values.state.type | default (ternary "hostPath" "emptyDir" .Values.continuity.enabled) }}
{{- end }}

{{- /* The node's /proc, or nothing. */ -}}
{{- define "podjoule.procfs" -}}
{{ .Values.hostPaths.procfs | default (ternary "/proc" "" (ne .Values.vm.shareDir "")) }}
{{- end }}

{{- /* Labels of pods that are no exporters: what selects those must not find them. */ -}}
{{- define "podjoule.besideLabels" -}}
app.kubernetes.io/name: {{ printf "%s-%s" (include "podjoule.name" .root | trunc 53) .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
app.kubernetes.io/part-of: podjoule
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "podjoule.besideObjectLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "podjoule.besideLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- /* Pods that need no right at all. OpenShift gives them users of its own. */ -}}
{{- define "podjoule.lockedPod" -}}
runAsNonRoot: true
{{- if not (.Values.openshift).securityContextConstraints }}
runAsUser: 65534
runAsGroup: 65534
fsGroup: 65534
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "podjoule.lockedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Where an address leads: its port, as a policy takes it. */ -}}
{{- define "podjoule.portOf" -}}
{{- $url := urlParse . -}}
{{ regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq ($url.scheme | lower) "http")) }}
{{- end }}

{{- /* A quantity of Kubernetes as a number. */ -}}
{{- define "podjoule.quantity" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9.]+([eE][-+]?[0-9]+)?" $text -}}
{{- $units := dict "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- $binary := dict "Ki" 0x1p10 "Mi" 0x1p20 "Gi" 0x1p30 "Ti" 0x1p40 "Pi" 0x1p50 "Ei" 0x1p60 -}}
{{- mulf (float64 $number) (get (merge $units $binary (dict "" 1.0)) (trimPrefix $number $text)) -}}
{{- end }}

{{- /* A duration as Go writes it, in seconds to the microsecond. */ -}}
{{- define "podjoule.seconds" -}}
{{- $units := dict "ns" 1e-9 "us" 1e-6 "µs" 1e-6 "μs" 1e-6 "ms" 1e-3 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+[a-zµμ]+" (toString .) -1 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $sum = addf $sum (mulf (float64 $number) (get $units (trimPrefix $number .))) -}}
{{- end -}}
{{- round $sum 6 -}}
{{- end }}

{{- /* Durations shorter than podjoule takes. */ -}}
{{- define "podjoule.refuseDurations" -}}
{{- $config := .Values.config -}}
{{- range $key, $least := .Files.Get "files/least-durations.yaml" | fromYaml -}}
{{- $found := $config -}}
{{- range splitList "." $key -}}
{{- $found = ternary (get ($found | default dict) .) "" (kindIs "map" ($found | default dict)) -}}
{{- end -}}
{{- if and $found (lt (include "podjoule.seconds" $found | float64) (float64 $least)) -}}
{{- fail (printf "config.%s: %s is shorter than podjoule takes; give %vs or more" $key $found $least) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Requests beyond their limits, which the API server would refuse. */ -}}
{{- define "podjoule.refuseResources" -}}
{{- $limits := .resources.limits | default dict -}}
{{- range $name, $request := .resources.requests | default dict -}}
{{- $limit := get $limits $name | default $request -}}
{{- if gt (include "podjoule.quantity" $request | float64) (include "podjoule.quantity" $limit | float64) -}}
{{- fail (printf "%s.requests.%s: %v is more than the limit, %v; raise that" $.at $name $request $limit) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* What the values say that cannot be: one message each, with the mend. */ -}}
{{- define "podjoule.refuse" -}}
{{- $values := .Values -}}
{{- range $key, $instead := dict "host" "hostPaths" "kube" "kube, of the chart" "state" "state, of the chart" -}}
{{- if hasKey $values.config $key -}}
{{- fail (printf "config.%s: the chart sets this by the environment, which goes before the file; set %s" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- if hasKey ($values.config.ebpf | default dict) "pin" -}}
{{- fail "config.ebpf.pin: only what the chart mounts can be pinned in; set continuity" -}}
{{- end -}}
{{- if hasKey ($values.config.vm | default dict) "shareDir" -}}
{{- fail "config.vm.shareDir: only what the chart mounts can be written to; set vm.shareDir" -}}
{{- end -}}
{{- range $key, $url := dict "otlp.endpoint" ($values.config.otlp | default dict).endpoint "carbon.url" ($values.config.carbon | default dict).url -}}
{{- if regexMatch "^[^/]*//[^/]*@|[?#]." (toString $url) -}}
{{- fail (printf "config.%s: it has a user or a query, which may be secret and is not shown; give the address alone" $key) -}}
{{- end -}}
{{- end -}}
{{- $otlp := $values.config.otlp | default dict -}}
{{- if and ($values.otlp).existingSecret (not $otlp.endpoint) -}}
{{- fail "otlp.existingSecret: nothing is pushed without config.otlp.endpoint; set it" -}}
{{- end -}}
{{- if and ($values.otlp).existingSecret (or $otlp.headersFile $otlp.caFile) -}}
{{- fail "otlp.existingSecret and config.otlp.headersFile or caFile: the Secret's go before; give one of them" -}}
{{- end -}}
{{- $carbon := $values.config.carbon | default dict -}}
{{- if and ($values.carbon).existingSecret (not (has (toString $carbon.provider | lower) (list "electricitymaps" "watttime"))) -}}
{{- fail "carbon.existingSecret: only electricitymaps and watttime take a token; set config.carbon.provider" -}}
{{- end -}}
{{- if and ($values.carbon).existingSecret $carbon.tokenFile -}}
{{- fail "carbon.existingSecret and config.carbon.tokenFile: the Secret's goes before; give one of them" -}}
{{- end -}}
{{- if and (has (toString $carbon.provider | lower) (list "electricitymaps" "watttime")) (not $carbon.zone) -}}
{{- fail (printf "config.carbon.zone: %s is asked for a zone by its code; give it" $carbon.provider) -}}
{{- end -}}
{{- $cost := $values.config.cost | default dict -}}
{{- if and (or (not (kindIs "invalid" $cost.pricePerKwh)) $cost.schedule) (not $cost.currency) -}}
{{- fail "config.cost.currency: is missing beside a price; give its ISO 4217 code, such as EUR" -}}
{{- end -}}
{{- if and $values.redfish.existingSecret (dig "platform" "redfish" "configFile" "" $values.config) -}}
{{- fail "redfish.existingSecret and config.platform.redfish.configFile: the Secret goes before; give one of them" -}}
{{- end -}}
{{- if and $values.prometheusRule.tenants (not $values.prometheusRule.enabled) -}}
{{- fail "prometheusRule.tenants: it joins the other rules; set prometheusRule.enabled" -}}
{{- end -}}
{{- if and ($values.tenants).enabled (not (and $values.tenants.existingSecret $values.tenants.tlsSecret)) -}}
{{- fail "tenants.enabled: give tenants.existingSecret, with whose token opens what, and tenants.tlsSecret" -}}
{{- end -}}
{{- $reports := $values.reports | default dict -}}
{{- if and $reports.enabled (not $reports.cluster) -}}
{{- fail "reports.cluster: rows are kept under a cluster's name; give one" -}}
{{- end -}}
{{- if and $reports.enabled (eq (empty $reports.existingClaim) (empty $reports.store)) -}}
{{- fail "reports.enabled: give reports.existingClaim or reports.store, one of them" -}}
{{- end -}}
{{- include "podjoule.refuseDurations" . -}}
{{- include "podjoule.refuseResources" (dict "at" "resources" "resources" ($values.resources | default dict)) -}}
{{- include "podjoule.refuseResources" (dict "at" "reports.resources" "resources" ($reports.resources | default dict)) -}}
{{- $stateType := include "podjoule.stateType" . -}}
{{- if and $values.continuity.enabled (ne $stateType "hostPath") -}}
{{- fail (printf "continuity.enabled: with state.type %s nobody knows what was counted; leave it empty" $stateType) -}}
{{- end -}}
{{- if and $values.continuity.enabled (eq (clean $values.continuity.pinPath) "/sys/fs/bpf") -}}
{{- fail "continuity.pinPath: others pin in /sys/fs/bpf, too; name a directory below it, /sys/fs/bpf/podjoule" -}}
{{- end -}}
{{- if and $values.continuity.enabled $values.bcc.enabled -}}
{{- fail "continuity.enabled and bcc.enabled: bcc cannot pin; state.type hostPath keeps the counters at least" -}}
{{- end -}}
{{- $maxSurge := ($values.updateStrategy.rollingUpdate | default dict).maxSurge | default 0 | toString -}}
{{- if and (eq $stateType "hostPath") (not (has $maxSurge (list "0" "0%"))) -}}
{{- fail "updateStrategy.rollingUpdate.maxSurge: one pod at a time goes on with what is kept on a node; set 0" -}}
{{- end -}}
{{- if $values.config.web -}}
{{- if hasKey $values.config.web "listenAddresses" -}}
{{- fail "config.web.listenAddresses: the chart sets this by a flag, which goes before the file; set port" -}}
{{- end -}}
{{- if hasKey $values.config.web "configFile" -}}
{{- fail "config.web.configFile: the chart sets this by a flag, which goes before the file; set web.config" -}}
{{- end -}}
{{- end -}}
{{- if and $values.web.existingSecret $values.web.config -}}
{{- fail "web.existingSecret and web.config: give one of them; the Secret holds the whole file" -}}
{{- end -}}
{{- $gpu := $values.gpu -}}
{{- if and (not $gpu.enabled) (or $gpu.runtimeClassName $gpu.libraryPath) -}}
{{- fail "gpu: a runtime class or a library is given and gpu.enabled is false; set it to true" -}}
{{- end -}}
{{- if and $gpu.runtimeClassName $gpu.libraryPath -}}
{{- fail "gpu.runtimeClassName and gpu.libraryPath: the class brings the library; give one of them" -}}
{{- end -}}
{{- if and $values.ipmi.enabled (not $values.ipmi.resource) (not $values.privileged) -}}
{{- fail "ipmi.enabled: a container opens a device that a plugin hands over; set ipmi.resource, or privileged" -}}
{{- end -}}
{{- if and (not $values.ipmi.enabled) $values.ipmi.resource -}}
{{- fail "ipmi.resource: it is given and ipmi.enabled is false; set it to true" -}}
{{- end -}}
{{- $tls := $values.web.tls -}}
{{- if and $tls.enabled (not $values.web.existingSecret) (not (include "podjoule.tlsSecret" .)) -}}
{{- fail "web.tls.enabled: give web.tls.existingSecret, or web.tls.certificate and web.tls.key" -}}
{{- end -}}
{{- if ne (empty $tls.certificate) (empty $tls.key) -}}
{{- fail "web.tls.certificate and web.tls.key: give both or none" -}}
{{- end -}}
{{- if and $tls.certificate $tls.existingSecret -}}
{{- fail "web.tls.existingSecret and web.tls.certificate: give one of them" -}}
{{- end -}}
{{- if and (not $tls.enabled) (or $tls.certificate $tls.existingSecret) -}}
{{- fail "web.tls: a certificate is given and web.tls.enabled is false; set it to true" -}}
{{- end -}}
{{- if and (not $tls.enabled) (hasKey $values.web.config "tls_server_config") -}}
{{- fail "web.config.tls_server_config: set web.tls.enabled and a certificate; probes and monitors follow it" -}}
{{- end -}}
{{- $clients := dig "tls_server_config" "client_auth_type" "" $values.web.config -}}
{{- if and (hasPrefix "Require" $clients) (ne $values.probes.type "tcp") -}}
{{- fail (printf "web.config: %s turns away the kubelet's HTTP probes; set probes.type to tcp" $clients) -}}
{{- end -}}
{{- if and $values.serviceMonitor.enabled (not $values.service.enabled) -}}
{{- fail "serviceMonitor.enabled: needs service.enabled; or use podMonitor" -}}
{{- end -}}
{{- if and $values.serviceMonitor.enabled $values.podMonitor.enabled -}}
{{- fail "serviceMonitor and podMonitor: enable one of them, or everything is scraped twice" -}}
{{- end -}}
{{- end }}

{{- /* The options that the chart sets; they go before the configuration file. */ -}}
{{- define "podjoule.environment" -}}
{{- $kube := .Values.kube -}}
PODJOULE_CONFIG_FILE: /etc/podjoule/config/config.yaml
PODJOULE_HOST_CGROUPFS: /host/sys/fs/cgroup
{{- with .Values.hostPaths.powercap }}
PODJOULE_HOST_POWERCAP: /host/sys/devices/virtual/{{ base . }}
{{- end }}
{{- if include "podjoule.procfs" . }}
PODJOULE_HOST_PROCFS: /host/proc
{{- end }}
{{- if (.Values.otlp).existingSecret }}
{{- with .Values.otlp.headersKey }}
PODJOULE_OTLP_HEADERS_FILE: /etc/podjoule/otlp/{{ . }}
{{- end }}
{{- with .Values.otlp.caKey }}
PODJOULE_OTLP_CA_FILE: /etc/podjoule/otlp/{{ . }}
{{- end }}
{{- end }}
{{- if (.Values.carbon).existingSecret }}
PODJOULE_CARBON_TOKEN_FILE: /etc/podjoule/carbon/{{ .Values.carbon.tokenKey }}
{{- end }}
{{- if ne (include "podjoule.stateType" .) "none" }}
PODJOULE_STATE_DIR: /var/lib/podjoule
{{- end }}
{{- if .Values.continuity.enabled }}
PODJOULE_EBPF_PIN: /host/sys/fs/bpf/podjoule
{{- end }}
{{- if .Values.bcc.enabled }}
PODJOULE_EBPF_LOADER: bcc
{{- end }}
{{- if .Values.gpu.enabled }}
PODJOULE_KUBE_POD_RESOURCES: /host/pod-resources/kubelet.sock
{{- if .Values.gpu.runtimeClassName }}
NVIDIA_VISIBLE_DEVICES: all
NVIDIA_DRIVER_CAPABILITIES: utility
{{- end }}
{{- if .Values.gpu.libraryPath }}
LD_LIBRARY_PATH: /host/nvidia
{{- end }}
{{- end }}
{{- if .Values.ipmi.enabled }}
PODJOULE_PLATFORM_IPMI_DEVICE: {{ .Values.ipmi.device }}
{{- end }}
{{- if .Values.redfish.existingSecret }}
PODJOULE_PLATFORM_REDFISH_CONFIG_FILE: /etc/podjoule/redfish/bmcs.yaml
{{- end }}
{{- if .Values.vm.shareDir }}
PODJOULE_VM_SHARE_DIR: /host/vm
{{- end }}
PODJOULE_KUBE_ENABLED: {{ $kube.enabled | quote }}
{{- if $kube.enabled }}
PODJOULE_KUBE_MODE: {{ $kube.mode }}
{{- with $kube.podLabels }}
PODJOULE_KUBE_POD_LABEL: {{ join "," . | quote }}
{{- end }}
{{- if $kube.readNode }}
PODJOULE_KUBE_READ_NODE: "true"
{{- end }}
{{- if eq $kube.mode "kubelet" }}
{{- with $kube.kubelet.address }}
PODJOULE_KUBE_KUBELET_ADDRESS: {{ . | quote }}
{{- end }}
{{- if $kube.kubelet.ca.configMap }}
PODJOULE_KUBE_KUBELET_CA: /etc/podjoule/kubelet/{{ $kube.kubelet.ca.key }}
{{- end }}
{{- if $kube.kubelet.insecure }}
PODJOULE_KUBE_KUBELET_INSECURE: "true"
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* How Prometheus Operator scrapes; `monitor` is the part of the values that says so. */ -}}
{{- define "podjoule.endpoint" -}}
{{- $monitor := .monitor -}}
port: metrics
scheme: {{ ternary "https" "http" .Values.web.tls.enabled }}
{{- range $key := list "interval" "scrapeTimeout" "tlsConfig" "basicAuth" "relabelings" "metricRelabelings" }}
{{- with index $monitor $key }}
{{ $key }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "podjoule.probe" -}}
{{- if eq .Values.probes.type "tcp" -}}
tcpSocket:
  port: metrics
{{- else -}}
httpGet:
  path: {{ .path }}
  port: metrics
  scheme: {{ ternary "HTTPS" "HTTP" .Values.web.tls.enabled }}
{{- end }}
{{ toYaml .timing }}
{{- end }}

{{- /* What the values ask for, and the BMC's device. */ -}}
{{- define "podjoule.resources" -}}
{{- $resources := deepCopy (.Values.resources | default dict) -}}
{{- with .Values.ipmi.resource -}}
{{- $_ := set $resources "limits" (merge (dict . "1") ($resources.limits | default dict)) -}}
{{- end -}}
{{- with $resources }}{{ toYaml . }}{{ end -}}
{{- end }}
