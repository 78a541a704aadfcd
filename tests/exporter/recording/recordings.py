"""A node in memory that is recorded while it lives, and what a replay makes of the recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from estimator.machine.topology import assemble
from exporter.commands.player import Player
from exporter.configuration.config import Config
from exporter.recording.files import RecordedMachine
from exporter.recording.reader import Recording
from exporter.recording.recorder import attach
from exporter.recording.store import Store
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
        self.store = Store(directory, max_bytes, RecordedMachine(topology.physical_ids))
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
    assert player.publisher.page is not None
    return parse(player.publisher.page.body().decode())


def rows(directory: Path, table: str) -> list[dict[str, Any]]:
    """Every row of a table, in the order of the files' names."""
    paths = sorted(directory.glob(f"{table}-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def hours(directory: Path) -> set[str]:
    return {name[name.index("-2026") + 1 : -8] for name in names(directory)}


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())
