"""A node in memory that is recorded while it lives, and what a replay makes of the recording."""

from __future__ import annotations

from pathlib import Path

from estimator.cpu_topology import assemble
from exporter.config import Config
from exporter.recorder import attach
from exporter.recording_files import Machine
from exporter.recording_reader import Recording
from exporter.recording_store import Store
from exporter.replay import Player
from tests.exporter.nodes import Node, Samples, parse

HOUR = 1_795_269_600.0
"""2026-11-21T14:00:00Z."""


class Tape:
    """A recording that is under way. start: the time at which the node's clock stands at 0."""

    def __init__(
        self, node: Node, directory: Path, start: float = HOUR, max_bytes: int | None = None
    ) -> None:
        cpus = range(2 * (len({counter.socket for counter in node.counters}) or 1))
        topology = assemble(cpus, cpus, {cpu: cpu // 2 for cpu in cpus})
        self.store = Store(directory, max_bytes, Machine(topology.physical_ids))
        self.store.open()
        self.recorder = attach(
            node.measurement,
            self.store,
            node.config,
            topology,
            clock=lambda: start + node.source.monotonic_ns / 1e9,
        )

    def close(self) -> bool:
        written = self.recorder.close()
        self.store.close()
        return written

    def die(self) -> None:
        """As a kill would have it: what is in memory goes, and the lock."""
        self.store.close()


def record_ticks(
    node: Node,
    directory: Path,
    n: int,
    start: float = HOUR,
    seconds: float = 5.0,
    max_bytes: int | None = None,
) -> Tape:
    """So many ticks of one container at work, after the baseline."""
    tape = Tape(node, directory, start, max_bytes)
    path = "/system.slice/ssh.service"
    node.source.add(path)
    node.advance(0.0)
    for _ in range(n):
        node.source.use(path, 1.0, cycles=3_000_000_000)
        node.draw(100.0)
        node.advance(seconds)
    return tape


def replay(directory: Path, config: Config, host: Path) -> Player:
    """The whole of it at once; host: an empty directory."""
    host.mkdir()
    player = Player(config, Recording(directory), host)
    for _ in player.play():
        pass
    return player


def page_of(player: Player) -> Samples:
    assert player.ticker.page is not None
    return parse(player.ticker.page.body().decode())
