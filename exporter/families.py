"""Every metric family by name, type, labels and help: what deploy/METRICS.md is made from.

What Kepler 0.11 defines keeps its name, labels and unit; what only podjoule has is podjoule_*.
"""

from __future__ import annotations

from exporter.grid.families import CARBON_SPECS
from exporter.specs import CONTAINER, NODE, POD, PROCESS, VM
from exporter.specs import Spec as Spec

NODE_JOULES = Spec("kepler_node_cpu_joules_total", "counter", "Energy of a zone in joules", NODE)
NODE_ACTIVE_JOULES = Spec(
    "kepler_node_cpu_active_joules_total", "counter", "Energy of a zone that work caused, in joules", NODE
)
NODE_IDLE_JOULES = Spec(
    "kepler_node_cpu_idle_joules_total",
    "counter",
    "Energy of a zone that it draws when nothing runs, in joules",
    NODE,
)
NODE_WATTS = Spec("kepler_node_cpu_watts", "gauge", "Power of a zone over the last tick in watts", NODE)
NODE_ACTIVE_WATTS = Spec(
    "kepler_node_cpu_active_watts",
    "gauge",
    "Power of a zone over the last tick that work caused, in watts",
    NODE,
)
NODE_IDLE_WATTS = Spec(
    "kepler_node_cpu_idle_watts",
    "gauge",
    "Power of a zone over the last tick that it draws when nothing runs, in watts",
    NODE,
)
NODE_USAGE_RATIO = Spec(
    "kepler_node_cpu_usage_ratio", "gauge", "Share of CPU time in the last tick that was not idle, 0 to 1"
)
NODE_CPU_INFO = Spec(
    "kepler_node_cpu_info",
    "gauge",
    "Always 1: what each processor is",
    ("processor", "vendor_id", "model_name", "physical_id", "core_id"),
)
CONTAINER_JOULES = Spec(
    "kepler_container_cpu_joules_total",
    "counter",
    "Active energy of a container in joules",
    (*CONTAINER, "zone"),
)
CONTAINER_WATTS = Spec(
    "kepler_container_cpu_watts",
    "gauge",
    "Active power of a container over the last tick in watts",
    (*CONTAINER, "zone"),
)
CONTAINER_SECONDS = Spec(
    "kepler_container_cpu_seconds_total", "counter", "CPU time of a container in seconds", CONTAINER
)
CONTAINER_CYCLES = Spec(
    "kepler_container_cpu_cycles_total", "counter", "CPU cycles of a container", CONTAINER
)
CONTAINER_INSTRUCTIONS = Spec(
    "kepler_container_cpu_instructions_total", "counter", "Instructions of a container", CONTAINER
)
CONTAINER_CACHE_MISSES = Spec(
    "kepler_container_cache_miss_total", "counter", "Last-level cache misses of a container", CONTAINER
)
CONTAINER_IDLE_JOULES = Spec(
    "podjoule_container_idle_joules_total",
    "counter",
    "Idle energy that the idle policy gives a container, in joules; never part of the active energy",
    (*CONTAINER, "zone"),
)
POD_JOULES = Spec(
    "kepler_pod_cpu_joules_total", "counter", "Active energy of a pod in joules", (*POD, "zone")
)
POD_WATTS = Spec(
    "kepler_pod_cpu_watts", "gauge", "Active power of a pod over the last tick in watts", (*POD, "zone")
)
POD_IDLE_JOULES = Spec(
    "podjoule_pod_idle_joules_total",
    "counter",
    "Idle energy that the idle policy gives a pod, in joules; never part of the active energy",
    (*POD, "zone"),
)
POD_INFO = Spec(
    "podjoule_pod_info",
    "gauge",
    "Always 1: what Kubernetes says of a pod, and its labels that kube.podLabels names as label_NAME",
    (
        *("pod_id", "pod_name", "pod_namespace", "qos", "owner_kind", "owner_name"),
        *("workload_kind", "workload_name", "phase"),
    ),
)
POD_DIRECTORY_UP = Spec(
    "podjoule_pod_directory_up", "gauge", "Whether Kubernetes answers; while it does not, known names stay"
)
POD_DIRECTORY_PODS = Spec("podjoule_pod_directory_pods", "gauge", "Pods of this node that are known")
POD_DIRECTORY_ERRORS = Spec(
    "podjoule_pod_directory_errors_total",
    "counter",
    "What went wrong between podjoule and Kubernetes",
    ("reason",),
)
VM_JOULES = Spec(
    "kepler_vm_cpu_joules_total", "counter", "Active energy of a virtual machine in joules", (*VM, "zone")
)
VM_WATTS = Spec(
    "kepler_vm_cpu_watts",
    "gauge",
    "Active power of a virtual machine over the last tick in watts",
    (*VM, "zone"),
)
PROCESS_JOULES = Spec(
    "kepler_process_cpu_joules_total", "counter", "Active energy of a process in joules", (*PROCESS, "zone")
)
PROCESS_WATTS = Spec(
    "kepler_process_cpu_watts",
    "gauge",
    "Active power of a process over the last tick in watts",
    (*PROCESS, "zone"),
)
PROCESS_SECONDS = Spec(
    "kepler_process_cpu_seconds_total", "counter", "CPU time of a process in seconds", PROCESS
)
CGROUP_JOULES = Spec(
    "podjoule_cgroup_cpu_joules_total",
    "counter",
    "Active energy of what runs in no container, pod or virtual machine, in joules;"
    " kind is unit, user, kernel or other",
    ("cgroup", "kind", "zone"),
)
CGROUP_SECONDS = Spec(
    "podjoule_cgroup_cpu_seconds_total",
    "counter",
    "CPU time of what runs in no container, pod or virtual machine, in seconds",
    ("cgroup", "kind"),
)
UNATTRIBUTED_JOULES = Spec(
    "podjoule_node_unattributed_joules_total",
    "counter",
    "Active energy that belongs to nobody, in joules;"
    " reason is no_usage (nothing ran) or map_full (the kernel's map had no room)",
    ("zone", "reason"),
)
CONSERVATION_ERROR = Spec(
    "podjoule_conservation_error_ratio",
    "gauge",
    "How far idle, attributed and unattributed energy of the last tick are from the zone's, relative",
    NODE,
)
SOURCE_INFO = Spec(
    "podjoule_power_source_info",
    "gauge",
    "Always 1: where a zone's energy comes from",
    ("zone", "source", "model", "sha256"),
)
IDLE_METHOD_INFO = Spec(
    "podjoule_idle_method_info",
    "gauge",
    "Always 1: how idle energy was told apart in the last tick; method is idle_watts or usage_ratio",
    ("zone", "method"),
)
MODEL_LOW_WATTS = Spec(
    "podjoule_model_low_watts", "gauge", "Lower bound of the model's power over the last tick in watts", NODE
)
MODEL_HIGH_WATTS = Spec(
    "podjoule_model_high_watts",
    "gauge",
    "Upper bound of the model's power over the last tick in watts",
    NODE,
)
MODEL_ERROR_WATTS = Spec(
    "podjoule_model_error_watts",
    "gauge",
    "Rolling mean absolute error, one tick ahead, of the calibration in force against the meter, in watts",
    NODE,
)
MODEL_SHADOW_ERROR_WATTS = Spec(
    "podjoule_model_shadow_error_watts",
    "gauge",
    "The same error of the fit that learns and may take its place, in watts",
    NODE,
)
MODEL_IDLE_WATTS = Spec(
    "podjoule_model_idle_watts", "gauge", "Idle power of a zone as it was learned, in watts", NODE
)
MODEL_PROMOTIONS = Spec(
    "podjoule_model_promotions_total",
    "counter",
    "How often the fit that learns took the place of the one in force",
    NODE,
)
MODEL_CALIBRATION_INFO = Spec(
    "podjoule_model_calibration_info",
    "gauge",
    "Always 1: where the calibration in force comes from; method is none, prior, restored or fitted",
    (*NODE, "method"),
)
MODEL_SKIPPED = Spec(
    "podjoule_model_skipped_total",
    "counter",
    "Intervals that could not be learned from",
    ("reason",),
)
MODEL_REFUSED = Spec(
    "podjoule_model_refused_total",
    "counter",
    "How often the model file was read anew and not taken over; the model before it stayed in force",
    ("file",),
)
POWER_ERRORS = Spec(
    "podjoule_power_errors_total",
    "counter",
    "What went wrong with meter or model: read, gap, vanished; outside_envelope, missing_feature",
    ("kind",),
)
USAGE_SOURCE_INFO = Spec(
    "podjoule_usage_source_info",
    "gauge",
    "Always 1: where the counters come from (core, bcc, cpu.stat) and which of them are measured",
    ("source", "available"),
)
BUILD_INFO = Spec("podjoule_build_info", "gauge", "Always 1: the version", ("version",))
DOWNTIME = Spec(
    "podjoule_downtime_seconds_total",
    "counter",
    "Time in which no podjoule was there, from one process's last tick to the next one's start, in seconds;"
    " counted says whether the kernel counted meanwhile, or it is a gap",
    ("counted",),
)
TICKS = Spec("podjoule_ticks_total", "counter", "Ticks begun")
TICK_DURATION = Spec("podjoule_tick_duration_seconds", "gauge", "Duration of the last whole tick in seconds")
COMPONENT_UP = Spec(
    "podjoule_component_up", "gauge", "Whether a part of the tick worked the last time", ("component",)
)
COMPONENT_ERRORS = Spec(
    "podjoule_component_errors_total", "counter", "How often a part of the tick failed", ("component",)
)
COMPONENT_DURATION = Spec(
    "podjoule_component_duration_seconds",
    "gauge",
    "Duration of a part of the last tick in seconds",
    ("component",),
)
BPF_RUNS = Spec(
    "podjoule_bpf_runs_total",
    "counter",
    "Runs of our kernel programs, counted by the kernel while kernel.bpf_stats_enabled is 1",
    ("program",),
)
BPF_RUN_SECONDS = Spec(
    "podjoule_bpf_run_seconds_total",
    "counter",
    "Time in our kernel programs in seconds, while kernel.bpf_stats_enabled is 1",
    ("program",),
)
BPF_MAP_ENTRIES = Spec("podjoule_bpf_map_entries", "gauge", "Cgroups, or processes, in the kernel's map")
BPF_DROPPED_SECONDS = Spec(
    "podjoule_bpf_dropped_seconds_total",
    "counter",
    "CPU time that the kernel's map had no room for, in seconds",
)
BPF_LOST_EVENTS = Spec(
    "podjoule_bpf_lost_events_total",
    "counter",
    "Cgroup events that did not fit the ring buffer; the tree is walked again after each such tick",
)
BPF_NAMELESS_CGROUPS = Spec(
    "podjoule_bpf_nameless_cgroups_total",
    "counter",
    "Cgroups that used CPU time and ended unseen, on kernels without ring buffers; their energy is other's",
)
BPF_BLIND_CPUS = Spec(
    "podjoule_bpf_blind_cpus",
    "gauge",
    "CPUs that came after the start and whose cycles, instructions and cache misses cannot be counted",
)
CONTAINER_NAME_ERRORS = Spec(
    "podjoule_container_name_errors_total", "counter", "Files of container names that could not be read"
)
EVICTED = Spec(
    "podjoule_terminated_evicted_total",
    "counter",
    "Series of ended workloads that went before their time because there were too many",
)

SPECS: tuple[Spec, ...] = (
    *(value for value in list(globals().values()) if isinstance(value, Spec)),
    *CARBON_SPECS,
)
