"""The RAPL meter: every energy counter of the kernel's powercap tree."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path

from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.meters.port import MeterError, ZoneReading
from estimator.meters.powercap_counter import (
    OpenFile,
    PowercapCounter,
    ReadFile,
    energy_file,
    meter_error,
    open_file,
    read_file,
)
from estimator.meters.powercap_tree import POWERCAP, PowercapTree, PowercapZone, scan, why_empty

_DENIED = (errno.EACCES, errno.EPERM)

# Zones that were not there at the start, such as those of a socket that comes, are looked for once in so many
# reads: a minute, as a rule.
_LOOK_READS = 12

# On these the kernel's core zone is MSR_CORE_ENERGY_STAT, which each core has for itself: of a socket's cores
# it shows one. Source: drivers/powercap/intel_rapl_msr.c, AMD PPR for family 17h.
_ONE_CORE_VENDORS = ("AuthenticAMD", "HygonGenuine")


def boottime_ns() -> int:
    """CLOCK_BOOTTIME: it goes on while the machine sleeps, as the counters do."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class PowercapMeter:
    """Reads <sysfs>/class/powercap, each counter through a descriptor that is kept open.

    powercap: where that tree is, if not in sysfs. zones: which to serve, by their names in ZONES; empty means
    all. vendor: of the CPU, as cpuinfo has it; AMD's core zones are left out, and left_out says so, "" where
    there are none. rescan_reads: while a counter is missing the tree is searched for it again, at most once
    in so many reads. open_file, read_file: the two calls that touch energy_uj. Raises MeterUnavailable, with
    the path and the mend, where no counter answers.
    """

    name = "rapl"

    def __init__(
        self,
        sysfs: Path = Path("/sys"),
        zones: Sequence[str] = (),
        *,
        powercap: Path | None = None,
        vendor: str = "",
        clock: Callable[[], int] = boottime_ns,
        open_file: OpenFile = open_file,
        read_file: ReadFile = read_file,
        rescan_reads: int = 3,
    ) -> None:
        self.errors: Sequence[MeterError] = ()
        self._root, self._clock = powercap or sysfs / POWERCAP, clock
        self._open_file, self._read_file = open_file, read_file
        self._rescan_reads, self._reads, self._last_scan = rescan_reads, 0, 0
        self._counters: dict[str, PowercapCounter] = {}
        self._missing: dict[str, MeterError] = {}
        self._known: dict[str, PowercapZone] = {}
        self._wanted = frozenset(name.lower() for name in zones)
        self._has_one_core = vendor in _ONE_CORE_VENDORS
        self.left_out = ""
        tree = self._scan()
        self._open_all(_chosen(tree, self._root, self._wanted, self.left_out))
        self._unreported = tree.malformed

    @property
    def zones(self) -> Set[str]:
        """Those of the counters that are open, or that went and may come back."""
        return {zone.zone for zone in self._known.values()}

    def read(self) -> list[ZoneReading]:
        """Every counter that answers; what failed, and what is missing, is in `errors` until the next read.

        Directories that are not as they should be are in the errors of the first read alone.
        """
        self._reads += 1
        self._look_for_zones()
        readings, failures = self._read_all()
        self.errors = [*self._unreported, *failures]
        self._unreported = ()
        return readings

    def close(self) -> None:
        """Close every descriptor."""
        for counter in self._counters.values():
            counter.close()
        self._counters.clear()

    def _scan(self) -> PowercapTree:
        tree = scan(self._root)
        cores = [zone for zone in tree.zones if zone.zone == "core"] if self._has_one_core else []
        if not cores:
            return tree
        self.left_out = (
            f"{cores[0].path} is left out: on AMD, core is the energy of one core, not of a socket's"
        )
        return replace(tree, zones=tuple(zone for zone in tree.zones if zone not in cores))

    def _open_all(self, zones: Sequence[PowercapZone]) -> None:
        for zone in zones:
            self._open(zone)
        readings, failures = self._read_all()
        if not readings:
            self.close()
            raise MeterUnavailable(f"no RAPL counter can be read: {failures[0].path} {failures[0].message}")

    def _open(self, zone: PowercapZone) -> None:
        try:
            self._counters[zone.path] = PowercapCounter(zone, self._open_file, self._read_file)
        except OSError as error:
            if error.errno in _DENIED and not self._missing and not self._counters:
                raise MeterUnavailable(_denied(zone)) from error
            self._missing[zone.path] = meter_error(zone, error)
        else:
            self._missing.pop(zone.path, None)
        self._known[zone.path] = zone

    def _read_all(self) -> tuple[list[ZoneReading], list[MeterError]]:
        readings, failures = [], list(self._missing.values())
        for counter in tuple(self._counters.values()):
            try:
                readings.append(counter.read(self._clock))
            except (OSError, ValueError) as error:
                failures.append(self._failed(counter, error))
        return readings, failures

    def _failed(self, counter: PowercapCounter, error: OSError | ValueError) -> MeterError:
        failure = meter_error(counter.zone, error)
        if failure.vanished:
            counter.close()
            del self._counters[failure.path]
            self._missing[failure.path] = failure
        return failure

    def _look_for_zones(self) -> None:
        """A counter comes back under its old path, maybe as another zone; others were never there before."""
        reads = self._rescan_reads if self._missing else _LOOK_READS
        if self._reads < self._last_scan + reads:
            return
        self._last_scan = self._reads
        known = tuple(self._known.values())
        for zone in _of(self._scan().zones, self._wanted):
            if zone.path in self._missing or not _is_shown_by(known, zone):
                self._open(zone)


def _is_shown_by(known: Sequence[PowercapZone], zone: PowercapZone) -> bool:
    """Whether it is one of these, or what another interface shows of them."""
    return any(
        each.path == zone.path
        or ((each.zone, each.socket) == (zone.zone, zone.socket) and each.control != zone.control)
        for each in known
    )


def _of(zones: Sequence[PowercapZone], wanted: Set[str]) -> list[PowercapZone]:
    return [zone for zone in zones if not wanted or zone.zone in wanted]


def _chosen(tree: PowercapTree, where: Path, wanted: Set[str], left_out: str) -> list[PowercapZone]:
    """The zones asked for; raises MeterUnavailable where there are none."""
    chosen = _of(tree.zones, wanted)
    if chosen:
        return chosen
    if tree.zones:
        found = ", ".join(sorted({zone.zone for zone in tree.zones}))
        raise MeterUnavailable(
            f"rapl.zones asks for {', '.join(sorted(wanted))}, but {where} has {found} alone{_also(left_out)}"
        )
    if tree.malformed:
        raise MeterUnavailable(
            f"no RAPL zone in {where} is usable: {tree.malformed[0].path} {tree.malformed[0].message}"
        )
    raise MeterAbsent(f"no RAPL zone in {where}: {why_empty(where)}")


def _also(left_out: str) -> str:
    return f"; {left_out}" if left_out else ""


def _denied(zone: PowercapZone) -> str:
    return (
        f"{energy_file(zone)} is denied (it is root's alone since kernel 5.10): "
        "run as root, or give CAP_DAC_READ_SEARCH as an effective capability"
    )
