"""perf's PMU `power` in a temporary directory, and a kernel that opens its events."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

SCALE = "2.3283064365386962890625e-10"  # 2^-32 J
COUNTS_PER_JOULE = 2**32
CONFIGS = {"energy-cores": 1, "energy-pkg": 2, "energy-ram": 3, "energy-gpu": 4, "energy-psys": 5}


class PowerPmu:
    """`root` is a sysfs. socket_of: by CPU, its package. counts: what each (event, CPU) has counted since it
    was opened."""

    def __init__(
        self,
        root: Path,
        events: tuple[str, ...] = ("energy-pkg", "energy-ram"),
        cpumask: str = "0",
        socket_of: dict[int, int] | None = None,
        name: str = "power",
        pmu_type: int = 22,
    ) -> None:
        self.root, self.type = root, pmu_type
        self.device = root / "bus/event_source/devices" / name
        (self.device / "events").mkdir(parents=True)
        self.write("type", f"{pmu_type}\n")
        self.set_mask(cpumask)
        for event in events:
            self.add_event(event, f"event=0x{CONFIGS.get(event, 1):02x}")
        for cpu, socket in (socket_of or {}).items():
            topology = root / f"devices/system/cpu/cpu{cpu}/topology"
            topology.mkdir(parents=True, exist_ok=True)
            (topology / "physical_package_id").write_text(f"{socket}\n")

    def write(self, name: str, text: str) -> None:
        (self.device / name).write_text(text)

    def set_mask(self, cpumask: str) -> None:
        self.write("cpumask", f"{cpumask}\n")

    def add_event(self, name: str, terms: str, scale: str = SCALE, unit: str = "Joules") -> None:
        self.write(f"events/{name}", f"{terms}\n")
        self.write(f"events/{name}.scale", f"{scale}\n")
        self.write(f"events/{name}.unit", f"{unit}\n")


class PerfKernel:
    """Opens events and counts. refused: by (config, cpu), the errno of opening it."""

    def __init__(self) -> None:
        self.opened: dict[int, tuple[int, int, int]] = {}
        self.joules: dict[int, float] = defaultdict(float)
        self.refused: dict[tuple[int, int], int] = {}
        self.given_up: set[int] = set()

    def open_event(self, pmu_type: int, config: int, cpu: int) -> int:
        if (config, cpu) in self.refused:
            number = self.refused[config, cpu]
            raise OSError(number, os.strerror(number))
        descriptor = os.open("/dev/null", os.O_RDONLY)
        self.opened[descriptor] = (pmu_type, config, cpu)
        self.joules[descriptor] = 0.0
        return descriptor

    def read_event(self, descriptor: int) -> bytes:
        os.fstat(descriptor)  # EBADF where it was closed
        if descriptor in self.given_up:
            return b""
        counts = round(self.joules[descriptor] * COUNTS_PER_JOULE)
        return counts.to_bytes(8, "little") + bytes(16)

    def draw(self, joules: float, config: int = 2, cpu: int | None = None) -> None:
        """Let every open event of a config count, or that of one CPU."""
        for descriptor, (_, its_config, its_cpu) in self.opened.items():
            if its_config == config and cpu in (None, its_cpu) and is_open(descriptor):
                self.joules[descriptor] += joules

    @property
    def cpus(self) -> list[tuple[int, int]]:
        """(config, CPU) of what is open."""
        return sorted((config, cpu) for fd, (_, config, cpu) in self.opened.items() if is_open(fd))


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
