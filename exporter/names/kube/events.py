"""What a watch tells of pods, read as cheaply as can be."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.names.kube.failure import Failure, of_event
from exporter.names.kube.parse import Malformed, pod_info
from exporter.names.kube.pod_store import PodStore

# How Go writes a pod: the fields in the order of the struct. A quote within a string is escaped, so that no
# label or annotation can look like this.
_EVENT = re.compile(
    rb'\{"type":"(?P<type>ADDED|MODIFIED|DELETED)","object":\{"kind":"Pod","apiVersion":"v1","metadata":\{'
    rb'"name":"[^"\\]*",(?:"generateName":"[^"\\]*",)?"namespace":"[^"\\]*",'
    rb'"uid":"(?P<uid>[^"\\]+)","resourceVersion":"(?P<version>[0-9]+)"'
)
# Of some 7 KB each; a burst must not be held in memory.
_MAX_PENDING = 256
_MANAGED, _AFTER_METADATA = b',"managedFields":[', b']},"spec":'


@dataclass(frozen=True, slots=True)
class _Pending:
    line: bytes
    is_deletion: bool
    is_news: bool
    """Whether the line, or one before it that it replaced, told more than that the pod is gone."""


class PodEvents:
    """Takes the lines of a watch into a store.

    Lines are kept until `flush`: of several about one pod the last alone is parsed, since each tells the
    whole pod, and of a deletion only that it happened. `malformed` counts pods that could not be understood.
    version: the resource version to go on from. Lines that are not as the API server writes them cost more
    time and do the same.
    """

    def __init__(self, store: PodStore, labels: Sequence[str], version: str) -> None:
        self.version = version
        self.malformed = 0
        self._store, self._labels = store, labels
        self._pending: dict[str, _Pending] = {}

    def take(self, line: bytes) -> None:
        """One line. Raises Failure for an ERROR event, and for what is no event."""
        match = _EVENT.match(line)
        if match is None:
            self._take_slowly(line)
            return
        uid, is_deletion = match["uid"].decode("utf-8", "replace"), match["type"] == b"DELETED"
        before = self._pending.get(uid)
        is_news = not is_deletion or uid not in self._store or (before is not None and before.is_news)
        self._pending[uid] = _Pending(line, is_deletion, is_news)
        self.version = match["version"].decode()
        if len(self._pending) >= _MAX_PENDING:
            self.flush()

    def flush(self) -> None:
        """Have the store know what was taken."""
        pending, self._pending = self._pending, {}
        for uid, event in pending.items():
            if event.is_news:
                self._apply(event.is_deletion, _parsed(without_managed_fields(event.line)))
            else:
                self._store.remove(uid)
        self._store.forget_gone()

    def _take_slowly(self, line: bytes) -> None:
        self.flush()  # what came before goes first
        match _parsed(line):
            case {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}:
                self.version = version
            case {"type": "ERROR", "object": dict(status)}:
                raise of_event(status)
            case {"type": "ADDED" | "MODIFIED" | "DELETED" as kind, "object": dict(pod)} as event:
                self._apply(kind == "DELETED", event)
                match pod.get("metadata"):
                    case {"resourceVersion": str(version)}:
                        self.version = version
            case _:
                raise Failure("malformed", "the watch sent something that is no event")

    def _apply(self, is_deletion: bool, event: dict[str, object]) -> None:
        try:
            info = pod_info(event.get("object"), self._labels)
        except Malformed:
            self.malformed += 1
            return
        self._store.put(info)
        if is_deletion:
            self._store.remove(info.uid)


def without_managed_fields(line: bytes) -> bytes:
    """A third of a pod's JSON, of use to writers alone; the last field of its metadata."""
    start = line.find(_MANAGED)
    end = line.find(_AFTER_METADATA, start) if start >= 0 else -1
    return line if end < 0 else line[:start] + line[end + 1 :]


def _parsed(line: bytes) -> dict[str, object]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Failure("malformed", "the watch sent a line that is no JSON") from error
    if not isinstance(event, dict):
        raise Failure("malformed", "the watch sent something that is no event")
    return event
