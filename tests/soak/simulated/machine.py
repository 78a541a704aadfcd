"""A machine that is made up: its time, CPUs, cgroups, meters and API server, and one moment after another."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np

from tests.soak.simulated.clock import Clock
from tests.soak.simulated.counts import Counts
from tests.soak.simulated.meters import CPUS_PER_SOCKET, N_SOCKETS, Meters
from tests.soak.simulated.names import ApiServer
from tests.soak.simulated.population import Population

N_CPU = N_SOCKETS * CPUS_PER_SOCKET
_OFF_SECONDS = 75.0


class Machine:
    """All that is not ours. boot_id: of the kernel; state: the directory that outlives processes."""

    def __init__(self, folder: Path, seed: str) -> None:
        self.folder = folder
        self.sysfs, self.state = folder / "sys", folder / "state"
        self.state.mkdir()
        self.clock = Clock()
        self.counts = Counts(N_CPU, lambda: self.clock.monotonic_ns)
        self.meters = Meters(self.sysfs, self.clock)
        self.server = ApiServer()
        self.population = Population(self.counts, self.server, Random(f"{seed}/population"))
        self._chance = np.random.default_rng(list(f"{seed}/load".encode()))
        self._boots = 0
        self._write_cpus()
        self.population.begin()

    @property
    def boot_id(self) -> str:
        return f"boot-{self._boots}"

    def live(self, seconds: float) -> None:
        """Time passes, and all of them run."""
        self.clock.live(seconds)
        busy = self.counts.run(seconds, 2 * self._chance.random(self.counts.rows))
        self.meters.draw(seconds, busy)
        self.population.live(self.clock.awake_seconds, seconds)

    def sleep(self, seconds: float) -> None:
        """The machine is suspended."""
        self.clock.sleep(seconds)
        self.meters.draw(seconds, np.zeros(N_CPU), asleep=True)

    def reboot(self) -> None:
        """All processes end; the kernel's counts and the counters of the meters begin at 0."""
        self.population.stop_all()
        self.clock.boot(_OFF_SECONDS)
        self.counts.boot()
        self.meters.boot()
        self._boots += 1
        self.population.begin()

    def _write_cpus(self) -> None:
        root = self.sysfs / "devices/system/cpu"
        root.mkdir(parents=True)
        for name in ("possible", "online"):
            (root / name).write_text(f"0-{N_CPU - 1}\n")
        for cpu in range(N_CPU):
            place = root / f"cpu{cpu}/topology/physical_package_id"
            place.parent.mkdir(parents=True)
            place.write_text(f"{cpu // CPUS_PER_SOCKET}\n")
