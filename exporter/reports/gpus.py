"""GPUs in a report: families of their own on the page, and the zone gpu of the others in an account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exporter.metrics import families as f
from exporter.metrics import gpu_families as g
from exporter.metrics.specs import Spec

ZONE: Final = "gpu"
UUID: Final = "gpu_uuid"
RESERVED: Final = "reserved"
"""The policy by which idle energy of this zone is given: a pod's is that of the GPUs that it holds."""
COUNTED: Final[Mapping[Spec, Spec]] = {
    g.NODE_JOULES: f.NODE_JOULES,
    g.NODE_IDLE_JOULES: f.NODE_IDLE_JOULES,
    g.POD_JOULES: f.POD_JOULES,
    g.POD_IDLE_JOULES: f.POD_IDLE_JOULES,
    g.VM_JOULES: f.VM_JOULES,
    g.CGROUP_JOULES: f.CGROUP_JOULES,
}
"""What each counter of GPUs counts as."""
OF_CONTAINERS: Final[Mapping[Spec, Spec]] = {g.CONTAINER_JOULES: f.CONTAINER_JOULES}
_TWINS: Final = {spec.name: twin for spec, twin in {**COUNTED, **OF_CONTAINERS}.items()}


def twin_of(family: str) -> Spec | None:
    """What a family of GPUs counts as; None for any other."""
    return _TWINS.get(family)


def label_of(labels: Mapping[str, str], name: str) -> str:
    """A label of the twin, from those of a series of GPUs."""
    if name == "zone":
        return ZONE
    return labels.get(UUID if name == "path" else name, "")
