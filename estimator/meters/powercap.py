"""The RAPL meter: every energy counter of the kernel's powercap tree."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ebpf.errors import MeterUnavailable
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
from estimator.meters.powercap_tree import POWERCAP, PowercapTree, PowercapZone, scan

_DENIED = (errno.EACCES, errno.EPERM)


class PowercapMeter:
    """Reads <sysfs>/class/powercap, each counter through a descriptor that is kept open.

    powercap: where that tree is, if not in sysfs. zones: which to serve, by their names in ZONES; empty means
    all. rescan_reads: while a counter is missing the tree is searched for it again, at most once in so many
    reads. open_file, read_file: the two calls that touch energy_uj. Raises MeterUnavailable, with the path
    and the mend, where no counter answers.
    """

    name = "rapl"

    def __init__(
        self,
        sysfs: Path = Path("/sys"),
        zones: Sequence[str] = (),
        *,
        powercap: Path | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        open_file: OpenFile = open_file,
        read_file: ReadFile = read_file,
        rescan_reads: int = 3,
    ) -> None:
        self.errors: Sequence[MeterError] = ()
        self._root, self._clock = powercap or sysfs / POWERCAP, clock
        self._open_file, self._read_file = open_file, read_file
        self._rescan_reads, self._reads, self._next_rescan = rescan_reads, 0, 0
        self._counters: dict[str, PowercapCounter] = {}
        self._missing: dict[str, MeterError] = {}
        tree = scan(self._root)
        self._open_all(_chosen(tree, self._root, zones))
        self._unreported = tree.malformed

    def read(self) -> list[ZoneReading]:
        """Every counter that answers; what failed, and what is missing, is in `errors` until the next read.

        Directories that are not as they should be are in the errors of the first read alone.
        """
        self._reads += 1
        self._look_for_missing()
        readings, failures = self._read_all()
        self.errors = [*self._unreported, *failures]
        self._unreported = ()
        return readings

    def close(self) -> None:
        """Close every descriptor."""
        for counter in self._counters.values():
            counter.close()
        self._counters.clear()

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

    def _look_for_missing(self) -> None:
        """A counter comes back under its old path, maybe as another zone: so the tree is scanned anew."""
        if not self._missing or self._reads < self._next_rescan:
            return
        self._next_rescan = self._reads + self._rescan_reads
        for zone in scan(self._root).zones:
            if zone.path in self._missing:
                self._open(zone)


def _chosen(tree: PowercapTree, where: Path, names: Sequence[str]) -> list[PowercapZone]:
    """The zones asked for; raises MeterUnavailable where there are none."""
    wanted = {name.lower() for name in names}
    chosen = [zone for zone in tree.zones if not wanted or zone.zone in wanted]
    if chosen:
        return chosen
    if tree.zones:
        found = ", ".join(sorted({zone.zone for zone in tree.zones}))
        raise MeterUnavailable(f"rapl.zones asks for {', '.join(names)}, but {where} has {found} alone")
    if tree.malformed:
        raise MeterUnavailable(
            f"no RAPL zone in {where} is usable: {tree.malformed[0].path} {tree.malformed[0].message}"
        )
    raise MeterUnavailable(
        f"no RAPL zones in {where}: want intel-rapl:*; a virtual machine has none, and in a container "
        "the host's tree must be mounted and named with --host.powercap"
    )


def _denied(zone: PowercapZone) -> str:
    return (
        f"{energy_file(zone)} is denied (it is root's alone since kernel 5.10): "
        "run as root, or give CAP_DAC_READ_SEARCH as an effective capability"
    )
