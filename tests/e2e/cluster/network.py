"""The cluster's network namespace: everything in it sees the pods and the API server, nothing leaves it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.cluster.place import NODE_IP, SERVICE_IP, ClusterError
from tests.programs import program

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def exists(namespace: str) -> bool:
    """Whether there is a namespace of this name."""
    return (_NAMESPACES / namespace).exists()


def make(namespace: str) -> None:
    """A namespace whose loopback carries the node's address and the API service's."""
    _ip("netns", "add", namespace)
    _ip("-n", namespace, "link", "set", "lo", "up")
    for address in (SERVICE_IP, NODE_IP):
        _ip("-n", namespace, "address", "add", f"{address}/32", "dev", "lo")
    # The kubelet insists on a default route.
    _ip("-n", namespace, "route", "add", "default", "dev", "lo")


def remove(namespace: str) -> None:
    """Take a namespace away, if it is there."""
    if exists(namespace):
        _ip("netns", "delete", namespace)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and the processes it starts, in the namespace; its mounts stay the machine's.

    `ip netns exec` would hide the cgroup mounts from the kubelet.
    """
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        with (_NAMESPACES / namespace).open("rb") as there:
            _enter(there.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        failed = ctypes.get_errno()
        raise OSError(failed, f"setns: {os.strerror(failed)}")


def _ip(*arguments: str) -> None:
    done = subprocess.run([program("ip"), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
