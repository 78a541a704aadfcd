"""A served API, the files of a service account, and a directory that follows it in a hurry."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from exporter.names.kube.access import ClusterAccess, ServiceAccount
from exporter.names.kube.backoff import Backoff
from exporter.names.kube.client import Client, Endpoint
from exporter.names.kube.follower import FollowedPods, FollowTimes
from exporter.names.kube.health import PodHealth
from exporter.names.kube.poll import PolledPods
from exporter.names.kube.source import PodSource
from exporter.names.kube.watch import WatchedPods, WatchTimes
from tests.exporter.names.kube.kube_server import TOKEN, KubeServer, pod, write_ca

WAIT_SECONDS = 60.0  # the machine may be busy; what is waited for comes in one or two
# ssl.SSLSocket._create leaves its socket to the collector where the peer resets it before the handshake.
LEFT_BY_SSL = "unclosed <ssl.SSLSocket"


def wait_until(what: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class Plant:
    """access: by which the server is asked, its service account unless a test puts another there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ca, certificate = write_ca(folder)
        self.ca = ca.rename(folder / "ca.crt")
        self.server = KubeServer(certificate)
        self.write_token(TOKEN)
        self.access: ClusterAccess = ServiceAccount(folder, self.server.url)
        self.directory: FollowedPods | None = None

    def write_token(self, token: str) -> None:
        (self.folder / "token").write_text(token)

    def add(self, pods: int) -> None:
        """Pods 0, 1, ... with a container each, of the same number."""
        for n in range(pods):
            self.server.change("ADDED", pod(n, n))

    def follow(self, backoff: Backoff | None = None, silence: float = 30.0) -> FollowedPods:
        """The watch, with pages of two pods."""
        times = WatchTimes(watch=20.0, silence=silence, rest=0.01, shortest=0.2)
        source = WatchedPods(Client(Endpoint(self.access)), "node1", (), times, page=2)
        return self.follow_source(source, backoff)

    def poll(
        self, endpoint: Endpoint | None = None, interval: float = 30.0, gap: float = 0.05
    ) -> FollowedPods:
        """The kubelet's list."""
        endpoint = endpoint or Endpoint(ServiceAccount(self.folder, ""), self.server.url)
        return self.follow_source(PolledPods(Client(endpoint), (), interval), gap=gap)

    def follow_source(
        self, source: PodSource, backoff: Backoff | None = None, gap: float = 0.05
    ) -> FollowedPods:
        times = FollowTimes(gap=gap)
        self.directory = FollowedPods(source, PodHealth("the server"), backoff or Backoff(0.02, 0.1), times)
        self.directory.start()
        return self.directory

    def close(self) -> None:
        if self.directory:
            self.directory.close()
            assert not self.directory._thread.is_alive()
        self.server.stop()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", LEFT_BY_SSL, ResourceWarning)
            gc.collect()


def errors(directory: FollowedPods) -> dict[str, int]:
    return {reason: count for reason, count in directory.status().errors.items() if count}


def name_of(directory: FollowedPods, key: str) -> str | None:
    info = directory.lookup(key)
    return info and info.name
