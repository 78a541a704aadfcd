"""What Kubernetes says of the pods that have energy, and how it fares: podjoule_pod_*."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.configuration.pod_labels import label_names
from exporter.metrics import families as f
from exporter.metrics.exposition import Family, Labels
from exporter.names.accounts import Account
from exporter.names.pods import PodDirectory, PodInfo


class PodFamilies:
    """podjoule_pod_info for the pods of the ledger; one that Kubernetes has forgotten keeps its last."""

    def __init__(self, pods: PodDirectory, node_name: str, pod_labels: Sequence[str]) -> None:
        self._pods = pods
        self._node = node_name
        self._pod_labels = tuple(pod_labels)
        self._spec = f.POD_INFO.with_labels(label_names(pod_labels))
        self._last: dict[str, PodInfo] = {}

    def families(self, accounts: Sequence[Account]) -> list[Family]:
        """accounts: of kind pod."""
        status = self._pods.status()
        if status is None:
            return []
        infos = [info for account in accounts if (info := self._info(account.workload.id))]
        self._last = {info.uid: info for info in infos}
        rows = [self._row(info) for info in infos]
        node = (self._node,)
        return [
            self._spec.family(rows, [1.0] * len(rows)),
            f.POD_DIRECTORY_UP.family([node], [float(status.is_current)]),
            f.POD_DIRECTORY_PODS.family([node], [float(status.pods)]),
            f.POD_DIRECTORY_ERRORS.family(
                [(self._node, reason) for reason in status.errors], list(map(float, status.errors.values()))
            ),
        ]

    def _info(self, uid: str) -> PodInfo | None:
        return self._pods.lookup(uid) or self._last.get(uid)

    def _row(self, info: PodInfo) -> Labels:
        chosen = (info.labels.get(name, "") for name in self._pod_labels)
        return (
            *(self._node, info.uid, info.name, info.namespace, info.qos, info.owner_kind, info.owner_name),
            *(info.workload_kind, info.workload_name, info.phase, *chosen),
        )
