"""A metric family before it has series, and the labels that families share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exporter.exposition import Family, Labels
from exporter.floats import Floats

CONTAINER = ("container_id", "container_name", "runtime", "state", "pod_id")
POD = ("pod_id", "pod_name", "pod_namespace", "state")
VM = ("vm_id", "vm_name", "hypervisor", "state")
PROCESS = ("pid", "comm", "exe", "type", "state", "container_id", "vm_id")
NODE = ("zone", "path")


@dataclass(frozen=True, slots=True)
class Spec:
    """A family before it has series; every one carries the label node_name in front of `labels`."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()

    def family(self, labels: Sequence[Labels], values: Sequence[float] | Floats) -> Family:
        """The family with these series; their labels begin with the node's name."""
        return Family(self.name, self.help, self.type, ("node_name", *self.labels), labels, values)

    def with_labels(self, more: Sequence[str]) -> Spec:
        """The same with labels of the configuration after its own."""
        return replace(self, labels=(*self.labels, *more))
