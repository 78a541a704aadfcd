"""The meters that there are, by name: how each is opened, and which of them this machine has.

A meter's own room says what it can serve; what only some machines need is imported in its opener.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ebpf import file_system, perf_events
from ebpf.descriptors import raise_descriptor_limit
from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.machine.identity import CpuIdentity
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import CPU_ZONES, ZONES, PowerMeter
from estimator.meters.powercap import PowercapMeter
from estimator.meters.powercap_tree import HOSTS_MARK, POWERCAP
from exporter.configuration.config import Config
from exporter.tick.gpu_meters import open_amdsmi, open_nvml

log = logging.getLogger("exporter.power")

Opener = Callable[[Config, CpuIdentity], Sequence[PowerMeter]]


def open_perf(config: Config, identity: CpuIdentity) -> Sequence[PowerMeter]:  # noqa: ARG001  an Opener
    """RAPL through perf's PMU. Raises MeterUnavailable."""
    host = config.host
    if not (device := host.sysfs / "bus/event_source/devices/power").is_dir():
        raise MeterAbsent(f"no {device}: a machine with RAPL has it, a VM has none")
    if foreign := _not_the_kernels_own(host.sysfs, host.powercap):
        raise MeterAbsent(f"{foreign} is not of this kernel, so that its PMUs have nothing to do with it")
    from estimator.meters.perf_power import PerfPowerMeter  # for machines that have the PMU

    def open_event(pmu_type: int, event: int, cpu: int) -> int:
        try:
            return perf_events.open_event(perf_events.Event(pmu_type, event), cpu)
        except OSError as error:
            raise OSError(error.errno, perf_events.explained(error, host.procfs)) from error

    raise_descriptor_limit()
    meter = PerfPowerMeter(host.sysfs, open_event, config.rapl.zones)
    log.info("energy is measured: RAPL through perf's PMU power")
    return [meter]


def _not_the_kernels_own(*roots: Path | None) -> Path | None:
    """The first tree that is no sysfs: another machine's, as in a guest that is shown its host's meter."""
    for root in roots:
        try:
            if root is not None and file_system.magic(root) != file_system.SYSFS:
                return root
        except OSError:
            continue
    return None


def _told_by_the_host(powercap: Path, config: Config) -> Sequence[PowerMeter]:
    from estimator.meters.host_tree import HostMeter, host_source

    told = HostMeter(powercap, config.rapl.zones)
    source = host_source(powercap) or "nowhere"
    log.info("energy is what the host bills this machine: %s, there from %s", powercap, source)
    return [told]


def open_rapl(config: Config, identity: CpuIdentity) -> Sequence[PowerMeter]:
    """RAPL through powercap, or whatever is shown in that form. Raises MeterUnavailable."""
    powercap = config.host.powercap
    if powercap is not None and (powercap / HOSTS_MARK).exists():
        return _told_by_the_host(powercap, config)
    meter = PowercapMeter(config.host.sysfs, config.rapl.zones, powercap=powercap, vendor=identity.vendor)
    log.info("energy is measured: RAPL through %s", powercap or config.host.sysfs / POWERCAP)
    if meter.left_out:
        log.info("%s", meter.left_out)
    return [meter]


# One opener a name of exporter.configuration.meter_options.METERS. Each raises MeterAbsent where this machine
# does not have what it reads, MeterUnavailable where it has and it cannot be read, and says in a log line
# what it reads. None waits: what may take long opens and reads in a BackgroundMeter.
OPENERS: Mapping[str, Opener] = {
    "perf": open_perf,
    "rapl": open_rapl,
    "nvml": open_nvml,
    "amdsmi": open_amdsmi,
}


# What a meter may have, if it is there; a chip of hwmon anything.
MAY_HAVE: Mapping[str, Set[str]] = {
    "perf": CPU_ZONES,
    "rapl": CPU_ZONES,
    "nvml": frozenset({"gpu"}),
    "amdsmi": frozenset({"gpu"}),
    "redfish": frozenset({"platform"}),
    "ipmi": frozenset({"platform"}),
    "hwmon": frozenset(ZONES),
}


@dataclass(frozen=True, slots=True)
class OpenedMeters:
    """The meters that serve, in the order of preference, and by name why the others do not."""

    meters: Sequence[MeteredEnergy]
    refused: Mapping[str, MeterUnavailable]

    @property
    def zones(self) -> Set[str]:
        """Those that they are known to have."""
        return frozenset().union(*(meter.zones for meter in self.meters))

    @property
    def unserving(self) -> Mapping[str, str]:
        """By name, why a meter that is there does not serve."""
        return {name: str(error) for name, error in self.refused.items() if not _is_absent(error)}

    @property
    def why_none(self) -> str:
        """Why no meter serves: RAPL's reason first, and of what is not there no other."""
        told = [f"{error}" for name, error in self.refused.items() if name == "rapl"]
        told += [
            f"{error}" for name, error in self.refused.items() if name != "rapl" and not _is_absent(error)
        ]
        return "; ".join(told) or "meters.preferred names none that this machine has"


def open_meters(config: Config, identity: CpuIdentity) -> OpenedMeters:
    """Open every meter that meters.preferred names and this machine has."""
    meters: list[MeteredEnergy] = []
    refused: dict[str, MeterUnavailable] = {}
    for name in config.meters.preferred:
        if name not in OPENERS:
            continue
        try:
            meters += map(MeteredEnergy, OPENERS[name](config, identity))
        except MeterUnavailable as error:
            refused[name] = error
    opened = OpenedMeters(meters, refused)
    if meters:  # else the caller says so
        for name, reason in opened.unserving.items():
            log.warning("the meter %s does not serve: %s", name, reason)
    return opened


def _is_absent(error: MeterUnavailable) -> bool:
    return isinstance(error, MeterAbsent)
