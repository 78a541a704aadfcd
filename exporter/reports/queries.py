"""What is asked for: selectors of the exporter's families, and which labels of a series are its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.configuration.pod_labels import label_names
from exporter.metrics import families as f
from exporter.metrics import meter_families as m
from exporter.metrics import tariff_families as c
from exporter.metrics.specs import Spec

NODE: Final = "node_name"
SCRAPES: Final = f.TICKS.name
"""The family whose samples say when a node was scraped."""
FRAME: Final[tuple[Spec, ...]] = (
    *(f.TICKS, c.ENERGY_ZONE_INFO, f.SOURCE_INFO, c.GRID_INTENSITY, c.GRID_PRICE, c.GRID_PUE),
    *(f.MODEL_LOW_WATTS, f.MODEL_HIGH_WATTS, f.MODEL_ERROR_WATTS, f.NODE_WATTS, f.IDLE_POLICY_INFO),
    m.SPREAD_WATTS,
)
"""How the energy of each step of a node is counted, bounded and charged."""
COUNTERS: Final[tuple[Spec, ...]] = (
    *(f.NODE_JOULES, f.NODE_IDLE_JOULES, f.UNATTRIBUTED_JOULES, f.POD_JOULES, f.VM_JOULES, f.CGROUP_JOULES),
    *(f.POD_IDLE_JOULES, f.CONTAINER_SECONDS, f.CGROUP_SECONDS),
)
OF_CONTAINERS: Final[tuple[Spec, ...]] = (f.CONTAINER_JOULES, f.CONTAINER_IDLE_JOULES)
"""Those of a pod's containers are within the pod's own."""
OWN_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    spec.name: spec.labels for spec in (*FRAME, *COUNTERS, *OF_CONTAINERS)
}
OF_PODS: Final = ("pod_id", "pod_name", "pod_namespace", "workload_kind", "workload_name")
_OF_NO_TENANT = 'pod_namespace=""'
_REQUESTS = "kube_pod_container_resource_requests"

Ranged = Callable[[Sequence[str], int], str]
"""An expression from the names of nodes and how many seconds it looks back."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Expressions over the series that match. selector, requests_selector: label matchers, "" for all.

    pod_labels: as the cluster has them, such as team or app.kubernetes.io/name.
    """

    selector: str = ""
    requests_selector: str = ""
    pod_labels: Sequence[str] = ()

    @property
    def scrapes(self) -> str:
        """The series of SCRAPES, of every node."""
        return f"{SCRAPES}{{{self.selector}}}"

    @property
    def label_names(self) -> Mapping[str, str]:
        """The chosen labels by their names in Prometheus."""
        return dict(zip(label_names(self.pod_labels), self.pod_labels, strict=True))

    def frames(self, nodes: Sequence[str], seconds: int) -> str:
        """FRAME's samples, without the copies that deploy/tenants/rules.yaml records for each namespace."""
        return f"{self._selected(FRAME, nodes, _OF_NO_TENANT)}[{seconds}s]"

    def scraped(self, nodes: Sequence[str], seconds: int) -> str:
        """The samples of SCRAPES alone."""
        return f"{self._selected((f.TICKS,), nodes)}[{seconds}s]"

    def counters(self, zones: Iterable[str]) -> Ranged:
        """The samples of COUNTERS in these zones, and of those that have none."""
        return self._in_zones(COUNTERS, (*sorted(zones), ""))

    def containers(self, zones: Iterable[str]) -> Ranged:
        """The samples of containers that are in no pod."""
        return self._in_zones(OF_CONTAINERS, sorted(zones), 'pod_id=""')

    def pods(self, nodes: Sequence[str], seconds: int) -> str:
        """What was said of pods, and how often; without the phase, which changes."""
        by = ", ".join((NODE, *OF_PODS, *self.label_names))
        return f"sum by ({by}) (count_over_time({self._selected((f.POD_INFO,), nodes)}[{seconds}s]))"

    def requests(self, nodes: Sequence[str], seconds: int) -> str:
        """The CPUs that pods had reserved while they were there, as kube-state-metrics tells."""
        matchers = _joined('resource="cpu"', _one_of("node", nodes), self.requests_selector)
        mean = f"avg_over_time({_REQUESTS}{{{matchers}}}[{seconds}s])"
        pod = "node, namespace, pod, uid"
        return f"sum by ({pod}) (max by ({pod}, container) ({mean}))"

    def _in_zones(self, specs: Sequence[Spec], zones: Sequence[str], *matchers: str) -> Ranged:
        chosen = _one_of("zone", zones)
        return lambda nodes, seconds: f"{self._selected(specs, nodes, chosen, *matchers)}[{seconds}s]"

    def _selected(self, specs: Sequence[Spec], nodes: Sequence[str], *matchers: str) -> str:
        names = _one_of("__name__", [spec.name for spec in specs])
        return f"{{{_joined(names, _one_of(NODE, nodes), *matchers, self.selector)}}}"


def _one_of(label: str, values: Sequence[str]) -> str:
    """A matcher; the values are taken literally."""
    pattern = "|".join(re.sub(r"([^\w\-/:, ])", r"\\\1", value) for value in values)
    return f'{label}=~"{_quoted(pattern)}"'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _joined(*matchers: str) -> str:
    return ",".join(matcher for matcher in matchers if matcher)
