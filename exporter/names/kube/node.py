"""The instance type of this node, as its label says: asked once, before its pods are."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from exporter.names.kube.client import Client, Timeouts
from exporter.names.kube.failure import Failure
from exporter.names.kube.health import PodHealth
from exporter.names.kube.pod_store import PodStore
from exporter.names.kube.source import PodSource

log = logging.getLogger("exporter.node")

# https://kubernetes.io/docs/reference/labels-annotations-taints/; the second until 1.17.
LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
# The images that a node has pulled stand in it, too: some 50 kB.
_MOST_BYTES = 8 * 1024 * 1024
# Names do not wait long for what a model would like to know.
_TIMEOUTS = Timeouts(connect=2.0, read=3.0)
_TRIES = 5
_LASTING = frozenset({"forbidden", "refused", "malformed"})


class NodeThenPods:
    """A PodSource that first asks what the node is, and is the other source from then on.

    tell: takes the instance type, in the thread of the pods; not called where there is none. What fails in
    passing is tried again before the next steps, up to five times; pods are asked for all the same.
    """

    def __init__(self, pods: PodSource, client: Client, node: str, tell: Callable[[str], None]) -> None:
        self._pods, self._client, self._node, self._tell = pods, client, node, tell
        self._tries_left = _TRIES
        self.looks_again = pods.looks_again

    def step(self, store: PodStore, health: PodHealth) -> float:
        """The node while it is not known, then the pods."""
        if self._tries_left:
            self._ask()
        return self._pods.step(store, health)

    def renew(self) -> bool:
        """Read the credentials anew; whether they are others now."""
        self._client.close()
        return self._pods.renew()

    def close(self) -> None:
        """Let go of everything."""
        self._client.close()
        self._pods.close()

    def abort(self) -> None:
        """End what `step` is doing."""
        self._client.abort()
        self._pods.abort()

    def _ask(self) -> None:
        self._tries_left -= 1
        try:
            instance_type = _instance_type(self._read())
        except Failure as failure:
            if failure.reason in _LASTING:
                self._tries_left = 0
            if not self._tries_left:
                log.warning(
                    "the instance type of node %s is not known: %s: %s", self._node, failure.reason, failure
                )
        else:
            self._tries_left = 0
            if instance_type:
                self._tell(instance_type)
        if not self._tries_left:
            self._client.close()

    def _read(self) -> bytes:
        text = bytearray()
        with self._client.get(f"/api/v1/nodes/{self._node}", {}, _TIMEOUTS) as chunks:
            for chunk in chunks:
                text += chunk
                if len(text) > _MOST_BYTES:
                    raise Failure("malformed", f"node {self._node} is larger than {_MOST_BYTES} bytes")
        return bytes(text)


def _instance_type(text: bytes) -> str:
    """Of a v1.Node; "" where it has none. Raises Failure for what is no node."""
    try:
        labels = json.loads(text)["metadata"].get("labels") or {}
        found = next((labels[label] for label in LABELS if label in labels), "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Failure("malformed", "the answer is no node") from error
    return found if isinstance(found, str) else ""
