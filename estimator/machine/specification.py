"""What a machine is, so far as its power hangs on it."""

from __future__ import annotations

from dataclasses import dataclass

# Above its TDP a package goes for moments, by the vendors' own limits (Intel's PL2 is 1.2 times PL1).
_PACKAGE_OVER_TDP = 1.25
# A registered DIMM of 32 GB and more draws some 0.4 W a GB at most; the controllers lie in the package.
_DRAM_WATTS_PER_GB, _DRAM_WATTS_PER_CHIP = 0.6, 40.0
# What fans, disks, network and the losses of power supplies add to packages and memory, at most.
_PLATFORM_OVER_PARTS, _PLATFORM_WATTS = 1.6, 150.0


@dataclass(frozen=True, slots=True)
class Specification:
    """A machine's CPU and size; None where nobody says.

    family: as estimator.machine.names has it. cpu: the key of the CPU's name. mhz: the nominal clock. chips:
    sockets. year: in which the CPU came out. maker: the key of who made the machine.
    """

    family: str | None = None
    cores_per_chip: float | None = None
    threads_per_core: float | None = None
    mhz: float | None = None
    tdp_watts: float | None = None
    year: float | None = None
    chips: float | None = None
    memory_gb_per_chip: float | None = None
    cpu: str = ""
    maker: str = ""

    @property
    def threads_per_chip(self) -> float | None:
        """Logical CPUs of a chip."""
        return self.cores_per_chip and self.cores_per_chip * (self.threads_per_core or 1.0)


def ceilings(of: Specification) -> dict[str, float]:
    """The most that each zone of such a machine can draw, watts; zones of which nothing is known lack."""
    if of.tdp_watts is None or of.chips is None:
        return {}
    package = of.tdp_watts * of.chips * _PACKAGE_OVER_TDP
    processors = {"package": package, "core": package, "uncore": package}
    if of.memory_gb_per_chip is None:
        return processors
    dram = of.memory_gb_per_chip * of.chips * _DRAM_WATTS_PER_GB + of.chips * _DRAM_WATTS_PER_CHIP
    platform = (package + dram) * _PLATFORM_OVER_PARTS + _PLATFORM_WATTS
    return {**processors, "dram": dram, "platform": platform, "psys": platform}
