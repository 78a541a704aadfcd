"""The families of GPUs; Kepler's by its names and labels. There are none where there is no GPU."""

from __future__ import annotations

from exporter.metrics.specs import CONTAINER, POD, PROCESS, VM, Catalogue

declare = Catalogue()

GPU = ("gpu", "gpu_uuid", "gpu_name", "vendor")
_OF = "a GPU, or of an instance of one (MIG),"

NODE_JOULES = declare.booked_counter("kepler_node_gpu_joules_total", f"Energy of {_OF} in joules", GPU)
NODE_ACTIVE_JOULES = declare.booked_counter(
    "kepler_node_gpu_active_joules_total", f"Energy of {_OF} that work caused, in joules", GPU
)
NODE_IDLE_JOULES = declare.booked_counter(
    "kepler_node_gpu_idle_joules_total",
    f"Energy of {_OF} that it draws when no process has it, in joules",
    GPU,
)
NODE_WATTS = declare.gauge("kepler_node_gpu_watts", f"Power of {_OF} over its last interval in watts", GPU)
NODE_ACTIVE_WATTS = declare.gauge(
    "kepler_node_gpu_active_watts",
    f"Power of {_OF} over its last interval that work caused, in watts",
    GPU,
)
NODE_IDLE_WATTS = declare.gauge(
    "kepler_node_gpu_idle_watts",
    f"Power of {_OF} over its last interval that it draws when no process has it, in watts",
    GPU,
)
NODE_INFO = declare.gauge("kepler_node_gpu_info", "Always 1: what each GPU, or instance of one, is", GPU)
CONTAINER_JOULES = declare.booked_counter(
    "kepler_container_gpu_joules_total", "Active energy of a container on GPUs in joules", CONTAINER
)
CONTAINER_WATTS = declare.gauge(
    "kepler_container_gpu_watts", "Active power of a container on GPUs in watts", CONTAINER
)
POD_JOULES = declare.booked_counter(
    "kepler_pod_gpu_joules_total", "Active energy of a pod on GPUs in joules", POD
)
POD_WATTS = declare.gauge("kepler_pod_gpu_watts", "Active power of a pod on GPUs in watts", POD)
POD_IDLE_JOULES = declare.booked_counter(
    "podjoule_pod_gpu_idle_joules_total",
    "Idle energy of the GPUs that a pod has reserved for itself, in joules; never part of the active energy",
    POD,
)
PROCESS_JOULES = declare.booked_counter(
    "kepler_process_gpu_joules_total", "Active energy of a process on GPUs in joules", PROCESS
)
PROCESS_WATTS = declare.gauge(
    "kepler_process_gpu_watts", "Active power of a process on GPUs in watts", PROCESS
)
VM_JOULES = declare.booked_counter(
    "podjoule_vm_gpu_joules_total", "Active energy of a virtual machine on the host's GPUs in joules", VM
)
CGROUP_JOULES = declare.booked_counter(
    "podjoule_cgroup_gpu_joules_total",
    "Active energy on GPUs of what runs in no container, pod or virtual machine, in joules",
    ("cgroup", "kind"),
)
