"""From the list of pods of an answer into the store, one pod at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from exporter.names.kube.health import PodHealth
from exporter.names.kube.lines import ListSplitter
from exporter.names.kube.parse import Malformed, pod_info
from exporter.names.kube.pod_store import PodStore


def read_list(
    chunks: Iterable[bytes], store: PodStore, labels: Sequence[str], health: PodHealth
) -> tuple[set[str], Mapping[str, object]]:
    """Take in a v1.PodList; the UIDs of its pods, and its metadata.

    Raises Failure("malformed") for what is no list or not whole; a pod that cannot be understood is counted.
    """
    splitter, seen, malformed = ListSplitter(), set[str](), 0
    for chunk in chunks:
        for item in splitter.feed(chunk):
            try:
                info = pod_info(item, labels)
            except Malformed:
                malformed += 1
                continue
            seen.add(info.uid)
            store.put(info)
    health.malformed(malformed)
    return seen, splitter.metadata()
