"""A metric family before it has series, and the labels that families share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from exporter.metrics.exposition import Family, Labels
from exporter.metrics.floats import Floats

CONTAINER = ("container_id", "container_name", "runtime", "state", "pod_id")
POD = ("pod_id", "pod_name", "pod_namespace", "state")
VM = ("vm_id", "vm_name", "hypervisor", "state")
PROCESS = ("pid", "comm", "exe", "type", "state", "container_id", "vm_id")
NODE = ("zone", "path")


@dataclass(frozen=True, slots=True)
class Spec:
    """A family before it has series; every one carries the label node_name in front of `labels`.

    booked: the ledger keeps it, and restores it itself after a restart.
    """

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    booked: bool = False

    def family(
        self,
        labels: Sequence[Labels],
        values: Sequence[float] | Floats,
        created: Sequence[float] | Floats | None = None,
    ) -> Family:
        """The family with these series; their labels begin with the node's name."""
        return Family(self.name, self.help, self.type, ("node_name", *self.labels), labels, values, created)

    def with_labels(self, more: Sequence[str]) -> Spec:
        """The same with labels of the configuration after its own."""
        return replace(self, labels=(*self.labels, *more))


class Catalogue:
    """Families, in the order in which they are declared."""

    def __init__(self) -> None:
        self._specs: list[Spec] = []

    def __iter__(self) -> Iterator[Spec]:
        return iter(self._specs)

    def gauge(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Spec:
        """A family whose values go up and down."""
        return self._add(Spec(name, "gauge", about, labels))

    def counter(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Spec:
        """A family whose values only grow."""
        return self._add(Spec(name, "counter", about, labels))

    def booked_counter(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Spec:
        """A counter that the ledger keeps."""
        return self._add(Spec(name, "counter", about, labels, booked=True))

    def _add(self, spec: Spec) -> Spec:
        self._specs.append(spec)
        return spec
