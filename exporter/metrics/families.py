"""Every metric family by name, type, labels and help: what deploy/METRICS.md is made from.

What Kepler 0.11 defines keeps its name, labels and unit; what only podjoule has is podjoule_*.
"""

from __future__ import annotations

from estimator.calibration.place import IDLE_METHODS
from estimator.features import PREDICTORS
from exporter.metrics import gpu_families, meter_families, tariff_families
from exporter.metrics.specs import CONTAINER, NODE, POD, PROCESS, VM, Catalogue
from exporter.metrics.specs import Spec as Spec

declare = Catalogue()

NODE_JOULES = declare.booked_counter("kepler_node_cpu_joules_total", "Energy of a zone in joules", NODE)
NODE_ACTIVE_JOULES = declare.booked_counter(
    "kepler_node_cpu_active_joules_total", "Energy of a zone that work caused, in joules", NODE
)
NODE_IDLE_JOULES = declare.booked_counter(
    "kepler_node_cpu_idle_joules_total",
    "Energy of a zone that it draws when nothing runs, in joules",
    NODE,
)
NODE_WATTS = declare.gauge("kepler_node_cpu_watts", "Power of a zone over the last tick in watts", NODE)
NODE_ACTIVE_WATTS = declare.gauge(
    "kepler_node_cpu_active_watts",
    "Power of a zone over the last tick that work caused, in watts",
    NODE,
)
NODE_IDLE_WATTS = declare.gauge(
    "kepler_node_cpu_idle_watts",
    "Power of a zone over the last tick that it draws when nothing runs, in watts",
    NODE,
)
NODE_USAGE_RATIO = declare.gauge(
    "kepler_node_cpu_usage_ratio", "Share of CPU time in the last tick that was not idle, 0 to 1"
)
# What models predict from, so that they can be trained from a Prometheus.
NODE_USED = {
    name: declare.counter(
        f"podjoule_node_{name}_total",
        f"{name.replace('_', ' ')} of everything that ran on the node, as docs/samples.md has it",
    )
    for name in PREDICTORS
}
NODE_CPU_INFO = declare.gauge(
    "kepler_node_cpu_info",
    "Always 1: what each processor is",
    ("processor", "vendor_id", "model_name", "physical_id", "core_id"),
)
CONTAINER_JOULES = declare.booked_counter(
    "kepler_container_cpu_joules_total",
    "Active energy of a container in joules",
    (*CONTAINER, "zone"),
)
CONTAINER_WATTS = declare.gauge(
    "kepler_container_cpu_watts",
    "Active power of a container over the last tick in watts",
    (*CONTAINER, "zone"),
)
CONTAINER_SECONDS = declare.booked_counter(
    "kepler_container_cpu_seconds_total", "CPU time of a container in seconds", CONTAINER
)
CONTAINER_CYCLES = declare.booked_counter(
    "kepler_container_cpu_cycles_total", "CPU cycles of a container", CONTAINER
)
CONTAINER_INSTRUCTIONS = declare.booked_counter(
    "kepler_container_cpu_instructions_total", "Instructions of a container", CONTAINER
)
CONTAINER_CACHE_MISSES = declare.booked_counter(
    "kepler_container_cache_miss_total", "Last-level cache misses of a container", CONTAINER
)
CONTAINER_IDLE_JOULES = declare.booked_counter(
    "podjoule_container_idle_joules_total",
    "Idle energy that the idle policy gives a container, in joules; never part of the active energy",
    (*CONTAINER, "zone"),
)
POD_JOULES = declare.booked_counter(
    "kepler_pod_cpu_joules_total", "Active energy of a pod in joules", (*POD, "zone")
)
POD_WATTS = declare.gauge(
    "kepler_pod_cpu_watts", "Active power of a pod over the last tick in watts", (*POD, "zone")
)
POD_IDLE_JOULES = declare.booked_counter(
    "podjoule_pod_idle_joules_total",
    "Idle energy that the idle policy gives a pod, in joules; never part of the active energy",
    (*POD, "zone"),
)
POD_INFO = declare.gauge(
    "podjoule_pod_info",
    "Always 1: what Kubernetes says of a pod, and its labels that kube.podLabels names as label_NAME",
    (
        *("pod_id", "pod_name", "pod_namespace", "qos", "owner_kind", "owner_name"),
        *("workload_kind", "workload_name", "phase"),
    ),
)
POD_DIRECTORY_UP = declare.gauge(
    "podjoule_pod_directory_up", "Whether Kubernetes answers; while it does not, known names stay"
)
POD_DIRECTORY_PODS = declare.gauge("podjoule_pod_directory_pods", "Pods of this node that are known")
POD_DIRECTORY_ERRORS = declare.counter(
    "podjoule_pod_directory_errors_total",
    "What went wrong between podjoule and Kubernetes",
    ("reason",),
)
VM_JOULES = declare.booked_counter(
    "kepler_vm_cpu_joules_total", "Active energy of a virtual machine in joules", (*VM, "zone")
)
VM_WATTS = declare.gauge(
    "kepler_vm_cpu_watts",
    "Active power of a virtual machine over the last tick in watts",
    (*VM, "zone"),
)
PROCESS_JOULES = declare.booked_counter(
    "kepler_process_cpu_joules_total", "Active energy of a process in joules", (*PROCESS, "zone")
)
PROCESS_WATTS = declare.gauge(
    "kepler_process_cpu_watts",
    "Active power of a process over the last tick in watts",
    (*PROCESS, "zone"),
)
PROCESS_SECONDS = declare.booked_counter(
    "kepler_process_cpu_seconds_total", "CPU time of a process in seconds", PROCESS
)
CGROUP_JOULES = declare.booked_counter(
    "podjoule_cgroup_cpu_joules_total",
    "Active energy of what runs in no container, pod or virtual machine, in joules;"
    " kind is unit, user, kernel, job or other",
    ("cgroup", "kind", "zone"),
)
CGROUP_SECONDS = declare.booked_counter(
    "podjoule_cgroup_cpu_seconds_total",
    "CPU time of what runs in no container, pod or virtual machine, in seconds",
    ("cgroup", "kind"),
)
UNATTRIBUTED_JOULES = declare.booked_counter(
    "podjoule_node_unattributed_joules_total",
    "Active energy that belongs to nobody, in joules;"
    " reason is no_usage (nothing ran), map_full (the kernel's map had no room), suspended, or on GPUs"
    " unknown_process (which process it was, or where that ran, is not known)",
    ("zone", "reason"),
)
CONSERVATION_ERROR = declare.gauge(
    "podjoule_conservation_error_ratio",
    "How far idle, attributed and unattributed energy of the last tick are from the zone's, relative",
    NODE,
)
SOURCE_INFO = declare.gauge(
    "podjoule_power_source_info",
    "Always 1: where a zone's energy comes from",
    ("zone", "source", "model", "sha256"),
)
IDLE_METHOD_INFO = declare.gauge(
    "podjoule_idle_method_info",
    "Always 1: how idle energy was told apart in the last tick; method is idle_watts or usage_ratio, or,"
    " where a meter teaches it, how idle power is known: "
    + ", ".join(IDLE_METHODS)
    + "; of GPUs: given, unused (the"
    " least while no process had it) or least (the least that was seen)",
    (*NODE, "method"),
)
IDLE_POLICY_INFO = declare.gauge(
    "podjoule_idle_policy_info",
    "Always 1: by which policy idle energy is given to workloads: none, proportional, even or requests",
    ("policy",),
)
MODEL_LOW_WATTS = declare.gauge(
    "podjoule_model_low_watts", "Lower bound of the model's power over the last tick in watts", NODE
)
MODEL_HIGH_WATTS = declare.gauge(
    "podjoule_model_high_watts",
    "Upper bound of the model's power over the last tick in watts",
    NODE,
)
MODEL_ERROR_WATTS = declare.gauge(
    "podjoule_model_error_watts",
    "Rolling mean absolute error, one tick ahead, of the calibration in force against the meter, in watts",
    NODE,
)
MODEL_SHADOW_ERROR_WATTS = declare.gauge(
    "podjoule_model_shadow_error_watts",
    "The same error of the fit that learns and may take its place, in watts",
    NODE,
)
MODEL_IDLE_WATTS = declare.gauge(
    "podjoule_model_idle_watts", "Idle power of a zone as it was learned, in watts", NODE
)
MODEL_IDLE_LOW_WATTS = declare.gauge(
    "podjoule_model_idle_watts_low", "What the idle power is at least, by what was seen of it, in watts", NODE
)
MODEL_IDLE_HIGH_WATTS = declare.gauge(
    "podjoule_model_idle_watts_high", "What the idle power is at most, by what was seen of it, in watts", NODE
)
MODEL_PROMOTIONS = declare.counter(
    "podjoule_model_promotions_total",
    "How often the fit that learns took the place of the one in force",
    NODE,
)
MODEL_CALIBRATION_INFO = declare.gauge(
    "podjoule_model_calibration_info",
    "Always 1: where the calibration in force comes from; method is none, prior, restored or fitted",
    (*NODE, "method"),
)
MODEL_SKIPPED = declare.counter(
    "podjoule_model_skipped_total",
    "Intervals that could not be learned from",
    ("reason",),
)
MODEL_REFUSED = declare.counter(
    "podjoule_model_refused_total",
    "How often the model file was read anew and not taken over; the model before it stayed in force",
    ("file",),
)
MODEL_FALLBACK = declare.gauge(
    "podjoule_model_fallback_info",
    "Always 1 where there is one: the model file that was asked for, that cannot serve here for the features"
    " which it lacks, and that another stands in for",
    ("file", "lacks"),
)
POWER_ERRORS = declare.counter(
    "podjoule_power_errors_total",
    "What went wrong with meter or model: read, gap, vanished, taken_back, still, owing, taken_over,"
    " learn; outside_envelope, missing_feature",
    ("kind",),
)
IMPOSSIBLE_SECONDS = declare.counter(
    "podjoule_impossible_cpu_seconds_total",
    "CPU time that was counted and that the CPUs cannot have had in its tick, given to nobody, in seconds",
)
USAGE_SOURCE_INFO = declare.gauge(
    "podjoule_usage_source_info",
    "Always 1: where the counters come from (core, bcc, cpu.stat) and which of them are measured",
    ("source", "available"),
)
BUILD_INFO = declare.gauge("podjoule_build_info", "Always 1: the version", ("version",))
DOWNTIME = declare.counter(
    "podjoule_downtime_seconds_total",
    "Time in which no podjoule was there, from one process's last tick to the next one's start, in seconds;"
    " counted says whether the kernel counted meanwhile, or it is a gap",
    ("counted",),
)
TICKS = declare.counter("podjoule_ticks_total", "Ticks begun")
TICK_DURATION = declare.gauge("podjoule_tick_duration_seconds", "Duration of the last whole tick in seconds")
COMPONENT_UP = declare.gauge(
    "podjoule_component_up", "Whether a part of the tick worked the last time", ("component",)
)
COMPONENT_ERRORS = declare.counter(
    "podjoule_component_errors_total", "How often a part of the tick failed", ("component",)
)
COMPONENT_DURATION = declare.gauge(
    "podjoule_component_duration_seconds",
    "Duration of a part of the last tick in seconds",
    ("component",),
)
BPF_RUNS = declare.counter(
    "podjoule_bpf_runs_total",
    "Runs of our kernel programs, counted by the kernel while kernel.bpf_stats_enabled is 1",
    ("program",),
)
BPF_RUN_SECONDS = declare.counter(
    "podjoule_bpf_run_seconds_total",
    "Time in our kernel programs in seconds, while kernel.bpf_stats_enabled is 1",
    ("program",),
)
BPF_MAP_ENTRIES = declare.gauge("podjoule_bpf_map_entries", "Cgroups, or processes, in the kernel's map")
BPF_DROPPED_SECONDS = declare.counter(
    "podjoule_bpf_dropped_seconds_total",
    "CPU time that the kernel's map had no room for, in seconds",
)
BPF_LOST_EVENTS = declare.counter(
    "podjoule_bpf_lost_events_total",
    "Cgroup events that did not fit the ring buffer; the tree is walked again after each such tick",
)
BPF_NAMELESS_CGROUPS = declare.counter(
    "podjoule_bpf_nameless_cgroups_total",
    "Cgroups that used CPU time and ended unseen, on kernels without ring buffers; their energy is other's",
)
BPF_BLIND_CPUS = declare.gauge(
    "podjoule_bpf_blind_cpus",
    "CPUs that came after the start and whose cycles, instructions and cache misses cannot be counted",
)
NAMELESS_CONTAINERS = declare.gauge(
    "podjoule_nameless_containers",
    "Containers that run, and whose name neither Kubernetes nor docker's and podman's files tell",
)
CONTAINER_NAME_ERRORS = declare.counter(
    "podjoule_container_name_errors_total", "Files of container names that could not be read"
)
EVICTED = declare.counter(
    "podjoule_terminated_evicted_total",
    "Series of ended workloads that went before their time because there were too many",
)
OTLP_PUSHES = declare.counter(
    "podjoule_otlp_pushes_total", "Pushes over OTLP that the endpoint took whole; without otlp.endpoint none"
)
OTLP_ERRORS = declare.counter(
    "podjoule_otlp_errors_total",
    "Pushes over OTLP that failed; reason is headers, unreachable, timeout, tls, unauthorized, redirect,"
    " status, rejected or internal",
    ("reason",),
)

SPECS: tuple[Spec, ...] = (
    *declare,
    *gpu_families.declare,
    *meter_families.declare,
    *tariff_families.declare,
)
