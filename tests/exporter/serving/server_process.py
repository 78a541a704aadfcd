"""A server in a process of its own, so that its memory and its descriptors are nobody else's."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporter.configuration.option_tree import Web
from exporter.metrics.exposition import Family, Renderer
from exporter.metrics.negotiation import RenderedPage
from exporter.serving.http.opening import build_server
from exporter.serving.page.application import Application
from tests.exporter.nodes import Node, in_pod
from tests.exporter.serving.web_kit import Client, Tick


@dataclass(frozen=True)
class ServerProcess:
    """A server on loopback. address: as one writes it."""

    pid: int
    address: str

    def scrape_seconds(self, **headers: str) -> float:
        """From the connection to the last byte of the page."""
        began = time.monotonic()
        with closing(Client(self.address)) as client:
            assert client.ask("/metrics", **headers)[0].status == 200
        return time.monotonic() - began

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def n_open(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@contextmanager
def server_process(*arguments: str) -> Iterator[ServerProcess]:
    """Ends with the block, however that ends: the process reads its standard input."""
    command = [sys.executable, "-m", __name__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield ServerProcess(process.pid, process.stdout.readline().strip())
        finally:
            process.kill()


def _page(n_series: int) -> Tick:
    labels = [(f"zone-{n}",) for n in range(n_series)]
    family = Family("watts", "Watts", "gauge", ("zone",), labels, [1.5] * n_series)
    tick = Tick()
    tick.page = RenderedPage(partial(Renderer().render, [family]))
    return tick


def _pods(n_pods: int) -> Tick:
    node = Node(zones=("package", "dram"))
    for n in range(n_pods):
        node.source.add(in_pod(n, n))
    for _ in range(2):
        for n in range(n_pods):
            node.source.use(in_pod(n, n), 0.001 * (n + 1))
        node.draw(300.0)
        node.tick()
    tick = Tick()
    tick.page = node.publisher.page
    return tick


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--pods", type=int, default=0)
    parser.add_argument("--descriptors", type=int)
    parser.add_argument("--config", type=Path)
    told = parser.parse_args()
    if told.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (told.descriptors, told.descriptors))
    tick = _pods(told.pods) if told.pods else _page(told.series)
    server = build_server(Web(("127.0.0.1:0",), told.config), Application(tick))
    server.bind()
    server.start()
    sys.stdout.write(f"{server.bound[0]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
