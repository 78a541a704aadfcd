"""What families and labels are called in OpenTelemetry.

By its semantic conventions where there are any; else by podjoule's names with dots, which Prometheus turns
back into the names on the page. Source: https://opentelemetry.io/docs/specs/semconv/hardware/common/,
.../hardware/host/, .../system/container-metrics/ and .../resource/k8s/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from exporter.metrics import families as f
from exporter.metrics import gpu_families as g

# The units of the Unified Code for Units of Measure by how a family's name ends.
_UNITS = {"joules": "J", "watts": "W", "seconds": "s", "grams": "g", "bytes": "By", "ratio": "1"}
_HARDWARE_TYPES = {"package": "cpu", "core": "cpu", "uncore": "cpu", "dram": "memory", "gpu": "gpu"}
_OF_PROCESSES = {
    "pid": "process.pid",
    "comm": "process.executable.name",
    "exe": "process.executable.path",
    "container_id": "container.id",
}


@dataclass(frozen=True, slots=True)
class Naming:
    """What a metric is called, and its unit."""

    name: str
    unit: str


_CONVENTIONAL = {f.CONTAINER_SECONDS.name: Naming("container.cpu.time", "s")}
_OF_COMPONENTS = {
    f.NODE_JOULES.name: Naming("hw.energy", "J"),
    f.NODE_WATTS.name: Naming("hw.power", "W"),
}
_OF_GPUS = {
    g.NODE_JOULES.name: Naming("hw.energy", "J"),
    g.NODE_WATTS.name: Naming("hw.power", "W"),
}
_OF_HOSTS = {
    f.NODE_JOULES.name: Naming("hw.host.energy", "J"),
    f.NODE_WATTS.name: Naming("hw.host.power", "W"),
}


@lru_cache(maxsize=1024)
def naming(family: str) -> Naming:
    """What a family of no hardware is called: kepler_pod_cpu_joules_total is kepler.pod.cpu.joules."""
    stem = family.removesuffix("_total")
    generic = Naming(stem.replace("_", "."), _UNITS.get(stem.rpartition("_")[2], ""))
    return _CONVENTIONAL.get(family, generic)


def is_hardware(family: str) -> bool:
    """Whether a family is what the parts of the machine draw."""
    return family in _OF_COMPONENTS


def hardware(family: str, zone: str, path: str, is_host: bool) -> tuple[Naming, dict[str, str]]:
    """What a part of the machine draws, with the attributes that hw.* must have.

    is_host: whether it is the whole machine (see HostZones), which the conventions keep apart, so that no sum
    takes a joule twice.
    """
    attributes = {"hw.id": f"{zone}:{path}", "hw.name": zone, "zone": zone, "path": path}
    if is_host:
        return _OF_HOSTS[family], attributes
    return _OF_COMPONENTS[family], {**attributes, "hw.type": _HARDWARE_TYPES.get(zone, zone)}


def is_gpu(family: str) -> bool:
    """Whether a family is what GPUs draw."""
    return family in _OF_GPUS


def gpu_hardware(family: str, labels: Mapping[str, str]) -> tuple[Naming, dict[str, str]]:
    """What a GPU draws, with the attributes that hw.* must have. labels: of gpu_families.GPU."""
    known = {
        "hw.id": labels.get("gpu_uuid", ""),
        "hw.type": _HARDWARE_TYPES["gpu"],
        "hw.name": f"gpu {labels.get('gpu', '')}",
        "hw.model": labels.get("gpu_name", ""),
        "hw.vendor": labels.get("vendor", ""),
        "zone": "gpu",
    }
    return _OF_GPUS[family], {name: told for name, told in known.items() if told}


def attribute(label: str, is_process: bool) -> str:
    """What a label is called that stays with the point. is_process: whether the family is of processes."""
    return _OF_PROCESSES.get(label, label) if is_process else label
