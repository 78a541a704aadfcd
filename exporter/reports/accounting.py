"""One node's hour as parts of an account: joules, bounds, grams and cost of each workload and of nobody.

Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from estimator.energy import FloatArray
from exporter.metrics import families as f
from exporter.metrics.specs import Spec
from exporter.reports import gpus
from exporter.reports.baselines import with_baselines
from exporter.reports.charges import Columns, Share, charges_of, grown_in, label
from exporter.reports.node_hour import Labels, NodeHour
from exporter.reports.rows import Kind
from exporter.reports.timeline import covered_weights, present_weights

UNKNOWN_KIND: Final = "unknown"
_ROOT: Final = "/"  # the kernel's threads, and tasks that sit in the root cgroup: their kind is their name


class Workload(NamedTuple):
    """Who a row is of; all empty for nobody. labels: the chosen ones, by name."""

    namespace: str = ""
    kind: str = ""
    name: str = ""
    labels: tuple[tuple[str, str], ...] = ()


NOBODY: Final = Workload()


class Key(NamedTuple):
    """What tells the rows of one node group apart."""

    workload: Workload
    kind: Kind
    detail: str
    late: bool
    source: str


@dataclass(frozen=True, slots=True)
class Pods:
    """What is said of the pods of a node.

    workloads: by id. requested: CPUs that each reserved, by id or, where nobody tells ids, by
    "NAMESPACE/NAME".
    """

    workloads: Mapping[str, Workload] = field(default_factory=dict)
    requested: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Part:
    """One row's sums on one node. charges: by exporter.reports.charges.Columns. pods: ids."""

    charges: FloatArray = field(default_factory=lambda: np.zeros(len(Columns)))
    cpu_seconds: float | None = None
    requested_cpu_seconds: float | None = None
    pods: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Account:
    """What one node adds to the rows of its group.

    whole: what its meters counted, by late and source, as of Part.charges; overhead: the PUE's part on top of
    it. covered_seconds: of the hour. currency: "" without a price. lacks: what the node does not tell: see
    Charges, and the begin of counters that came late.
    """

    node: str
    parts: Mapping[Key, Part]
    whole: Mapping[tuple[bool, str], FloatArray]
    overhead: Mapping[tuple[bool, str], FloatArray]
    covered_seconds: float
    currency: str
    lacks: frozenset[str]


def account(node: NodeHour, pods: Pods) -> Account:
    """The node's parts. They add up to `whole` but for what its meters counted beyond all of its rows."""
    return _Accountant(node, pods).account()


class _Accountant:
    """Adds up the parts of one node, zone by zone."""

    def __init__(self, node: NodeHour, pods: Pods) -> None:
        self._node, self._pods = with_baselines(node), pods
        self._charges = charges_of(self._node)
        self._parts: dict[Key, Part] = defaultdict(Part)
        self._whole: dict[tuple[bool, str], FloatArray] = defaultdict(lambda: np.zeros(len(Columns)))
        self._overhead: dict[tuple[bool, str], FloatArray] = defaultdict(lambda: np.zeros(len(Columns)))

    def account(self) -> Account:
        """See the function of that name."""
        for zone, shares in self._charges.by_zone.items():
            self._add_whole(zone, shares)
            self._add_active(zone, shares)
            self._add_idle(zone, shares)
        self._add_containers()
        self._add_cgroups()
        return Account(
            self._node.node,
            dict(self._parts),
            dict(self._whole),
            dict(self._overhead),
            float(covered_weights(self._node.steps, self._node.hour) @ self._node.steps.seconds),
            self._charges.currency,
            self._charges.lacks | ({"begin"} if np.any(self._node.late) else set()),
        )

    def _add_whole(self, zone: str, shares: Iterable[Share]) -> None:
        grown = grown_in(self._node, f.NODE_JOULES, zone)[1].sum(axis=0)
        for share in shares:
            self._whole[share.late, share.source] += grown @ share.charged
            if share.overhead is not None:
                self._overhead[share.late, share.source] += grown @ share.overhead

    def _add_active(self, zone: str, shares: Iterable[Share]) -> None:
        rows = [*self._active(zone)]
        grown = np.array([row for _, _, row in rows]).reshape(len(rows), len(self._node.steps.end))
        for share in shares:
            charged = _doubted(grown @ share.charged, share.error_joules)
            for (who, pod, _), charges in zip(rows, charged, strict=True):
                key = _key(who, share)
                self._add(key, charges)
                if pod and charges.any():
                    self._parts[key].pods.add(pod)

    def _add_idle(self, zone: str, shares: Iterable[Share]) -> None:
        """What no policy gave to anybody is idle."""
        whole = grown_in(self._node, f.NODE_IDLE_JOULES, zone)[1].sum(axis=0)
        given = [*self._of_pods(f.POD_IDLE_JOULES, f.CONTAINER_IDLE_JOULES, zone)]
        policy = gpus.RESERVED if zone == gpus.ZONE else self._idle_policy()
        for share in shares:
            left = whole @ share.charged
            for who, _, grown in given:
                charges = grown @ share.charged
                self._add(Key(who, "idle_share", policy, share.late, share.source), charges)
                left = left - charges
            self._add(Key(NOBODY, "idle", "", share.late, share.source), left)

    def _idle_policy(self) -> str:
        """The one that the node named last; "" where it names none."""
        table = self._node.table(f.IDLE_POLICY_INFO.name)
        told = zip(table.labels, table.values, strict=True)
        named = [
            (np.flatnonzero(~np.isnan(row))[-1], labels) for labels, row in told if not np.isnan(row).all()
        ]
        return label(f.IDLE_POLICY_INFO, max(named)[1], "policy") if named else ""

    def _active(self, zone: str) -> Iterator[tuple[Workload, str, FloatArray]]:
        """Who used energy, which pod it is, and how much in each step; nobody has the reason for a name."""
        yield from self._of_pods(f.POD_JOULES, f.CONTAINER_JOULES, zone)
        for labels, grown in self._series(f.VM_JOULES, zone):
            yield Workload("", "vm", label(f.VM_JOULES, labels, "vm_name")), "", grown
        for labels, grown in self._series(f.CGROUP_JOULES, zone):
            yield _cgroup(f.CGROUP_JOULES, labels), "", grown
        for labels, grown in self._series(f.UNATTRIBUTED_JOULES, zone):
            yield Workload(name=label(f.UNATTRIBUTED_JOULES, labels, "reason")), "", grown

    def _of_pods(
        self, of_pod: Spec, of_container: Spec, zone: str
    ) -> Iterator[tuple[Workload, str, FloatArray]]:
        """Pods, and the containers that are in none."""
        for labels, grown in self._series(of_pod, zone):
            yield self._workload(of_pod, labels), label(of_pod, labels, "pod_id"), grown
        for labels, grown in self._series(of_container, zone):
            if not label(of_container, labels, "pod_id"):
                yield _container(of_container, labels), "", grown

    def _series(self, spec: Spec, zone: str) -> Iterator[tuple[Labels, FloatArray]]:
        return zip(*grown_in(self._node, spec, zone), strict=True)

    def _workload(self, spec: Spec, labels: Labels) -> Workload:
        """What Kubernetes says of the pod; else what is on its series."""
        if known := self._pods.workloads.get(label(spec, labels, "pod_id")):
            return known
        name = label(spec, labels, "pod_name") or label(spec, labels, "pod_id")
        return Workload(label(spec, labels, "pod_namespace"), UNKNOWN_KIND, name)

    def _add_containers(self) -> None:
        """CPU time of pods, which is that of their containers, and of containers in none.

        A pod lived as long as its energy tells: at a level of metrics without containers there is no other.
        """
        table = self._node.table(f.CONTAINER_SECONDS.name)
        rows, grown = _by_pod(f.CONTAINER_SECONDS, table.labels), self._node.grown(table.values)
        for row in rows.pop("", ()):
            self._add_cpu(_container(f.CONTAINER_SECONDS, table.labels[row]), grown[row])
        joules = self._node.table(f.POD_JOULES.name)
        used = self._node.grown(joules.values)
        for pod, own in _by_pod(f.POD_JOULES, joules.labels).items():
            labels = joules.labels[own[-1]]
            who = self._workload(f.POD_JOULES, labels)
            if pod in rows:
                self._add_cpu(who, grown[rows[pod]].sum(axis=0))
            if (cpus := self._requested(labels)) is not None:
                self._add_requested(who, cpus * present_weights(joules.values[own], used[own]))

    def _add_cgroups(self) -> None:
        table = self._node.table(f.CGROUP_SECONDS.name)
        for labels, grown in zip(table.labels, self._node.grown(table.values), strict=True):
            self._add_cpu(_cgroup(f.CGROUP_SECONDS, labels), grown)

    def _requested(self, labels: Labels) -> float | None:
        pod, name, namespace = (
            label(f.POD_JOULES, labels, each) for each in ("pod_id", "pod_name", "pod_namespace")
        )
        return self._pods.requested.get(pod, self._pods.requested.get(f"{namespace}/{name}"))

    def _add_cpu(self, who: Workload, grown: FloatArray) -> None:
        """To the rows of the zone that draws most, so that CPU time is in one row alone."""
        for share in self._charges.main:
            part = self._parts[_key(who, share)]
            part.cpu_seconds = (part.cpu_seconds or 0.0) + float(grown @ share.weight)

    def _add_requested(self, who: Workload, cpus: FloatArray) -> None:
        """cpus: reserved in each step."""
        for share in self._charges.main:
            if not share.late:
                part = self._parts[_key(who, share)]
                seconds = float((cpus * self._node.steps.seconds) @ share.weight)
                part.requested_cpu_seconds = (part.requested_cpu_seconds or 0.0) + seconds

    def _add(self, key: Key, charges: FloatArray) -> None:
        self._parts[key].charges += charges


def _doubted(charged: FloatArray, error_joules: float) -> FloatArray:
    """With wider bounds, by the calibration's error in proportion: it is of how energy is shared out."""
    total = float(charged[:, Columns.JOULES].sum())
    doubt = min(1.0, error_joules / total) if total > 0 else 0.0
    wider = doubt * charged[:, Columns.JOULES]
    charged[:, Columns.LOW] -= wider
    charged[:, Columns.HIGH] += wider
    return charged


def _key(who: Workload, share: Share) -> Key:
    if who.kind:
        return Key(who, "active", "", share.late, share.source)
    return Key(NOBODY, "unattributed", who.name, share.late, share.source)


def _container(spec: Spec, labels: Labels) -> Workload:
    name = label(spec, labels, "container_name") or label(spec, labels, "container_id")
    return Workload("", "container", name)


def _cgroup(spec: Spec, labels: Labels) -> Workload:
    kind, cgroup = label(spec, labels, "kind"), label(spec, labels, "cgroup")
    return Workload("", kind, kind if cgroup == _ROOT else cgroup)


def _by_pod(spec: Spec, series: Iterable[Labels]) -> dict[str, list[int]]:
    """The rows of each pod's series by its id."""
    found: dict[str, list[int]] = defaultdict(list)
    for row, labels in enumerate(series):
        found[label(spec, labels, "pod_id")].append(row)
    return found
