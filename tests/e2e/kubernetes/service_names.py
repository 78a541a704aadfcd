"""The names of Services, as a cluster's DNS answers: a headless one has the addresses of its ready pods."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import NODE_IP, ClusterError

_DOMAIN = ["svc", "cluster", "local"]
_A, _NO_SUCH_NAME = 1, 3


class ServiceNames:
    """A server at the address that the kubelet tells its pods, while it is entered. Source: RFC 1035.

    told: the addresses that were answers.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.told: set[str] = set()
        self._cluster = cluster
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ServiceNames:
        with self._cluster.network():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((NODE_IP, 53))
            self._socket.settimeout(0.5)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                question, client = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(question), client)

    def _answer(self, question: bytes) -> bytes:
        labels, end = _name(question)
        (kind,) = struct.unpack_from("!H", question, end)
        addresses = self._ready(labels)
        told = addresses if kind == _A else []
        self.told.update(told)
        flags = 0x8580 | (0 if addresses else _NO_SUCH_NAME)
        head = question[:2] + struct.pack("!5H", flags, 1, len(told), 0, 0) + question[12 : end + 4]
        return head + b"".join(
            struct.pack("!3HIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(each) for each in told
        )

    def _ready(self, labels: list[str]) -> list[str]:
        """Addresses behind NAME.NAMESPACE.svc.cluster.local; none for another name."""
        if labels[2:] != _DOMAIN:
            return []
        name, namespace, *_ = labels
        selector = f"kubernetes.io/service-name={name}"
        with contextlib.suppress(ClusterError):
            slices = self._cluster.get("endpointslices", "-n", namespace, "--selector", selector)["items"]
            endpoints = [each for found in slices for each in found["endpoints"] or []]
            return [each["addresses"][0] for each in endpoints if each["conditions"]["ready"]]
        return []


def _name(question: bytes) -> tuple[list[str], int]:
    """The labels that are asked for, and where the name ends."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return labels, at + 1
