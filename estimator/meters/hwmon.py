"""The hwmon meter: what boards, supplies and GPUs say of themselves under <sysfs>/class/hwmon."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from estimator.errors import MeterUnavailable
from estimator.meters.hwmon_channels import Channel, Choice, choose
from estimator.meters.hwmon_counters import Counter, HwmonCounter, PowerCounter
from estimator.meters.hwmon_rules import ChipRule
from estimator.meters.hwmon_tree import ENERGY, HWMON, HwmonTree, scan
from estimator.meters.port import MeterError, PowerMeter, ZoneReading
from estimator.meters.powercap import boottime_ns
from estimator.meters.powercap_counter import OpenFile, ReadFile, open_file, read_file

_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESTALE)


@dataclass(frozen=True, slots=True)
class Hwmon:
    """The chips below sysfs, and what is to be read of them. own, sockets, wanted: as in choose()."""

    sysfs: Path = Path("/sys")
    own: tuple[ChipRule, ...] = ()
    sockets: tuple[int, ...] = (0,)
    wanted: tuple[str, ...] = ()

    def scan(self) -> HwmonTree:
        """The chips there are now."""
        return scan(self.sysfs / HWMON)

    def choose(self) -> Choice:
        """What of them is read."""
        return choose(self.scan().chips, self.own, self.sockets, self.wanted)

    def counted(self) -> list[Channel]:
        """What counts energy by itself: drivers of chips that are on the CPU's own bus, quick to read."""
        return [channel for channel in self.choose().channels if channel.kind == ENERGY]

    def powers(self) -> list[Channel]:
        """What tells power alone, and may take long: I2C, or a BMC behind ACPI."""
        return [channel for channel in self.choose().channels if channel.kind != ENERGY]

    def why_empty(self) -> str:
        """Why there is nothing to read, and how to mend it."""
        root, tree = self.sysfs / HWMON, self.scan()
        if not root.is_dir():
            return f"{root} is not there: mount the host's sysfs, and name it with --host.sysfs"
        told = [*self.choose().left_out, *(f"{each.path} {each.message}" for each in tree.malformed)]
        if self.wanted and choose(tree.chips, self.own, self.sockets).channels:
            told.insert(0, f"hwmon.zones asks for {', '.join(self.wanted)} alone")
        return "; ".join(told) or f"no chip in {root} measures power or energy"


class HwmonMeter:
    """Reads each channel through descriptors that are kept open.

    channels: says which there are now; asked again once in rescan_reads while one is missing. open_file,
    read_file: the two calls that touch a channel. Raises MeterUnavailable, with the file and the mend, where
    none answers.
    """

    name = "hwmon"

    def __init__(
        self,
        channels: Callable[[], Collection[Channel]],
        *,
        clock: Callable[[], int] = boottime_ns,
        open_file: OpenFile = open_file,
        read_file: ReadFile = read_file,
        rescan_reads: int = 12,
    ) -> None:
        self.errors: Sequence[MeterError] = ()
        self._channels, self._clock = channels, clock
        self._open_file, self._read_file = open_file, read_file
        self._rescan_reads, self._reads = rescan_reads, 0
        self._counters: dict[str, Counter] = {}
        self._missing: dict[str, MeterError] = {}
        self._known: dict[str, Channel] = {}
        self._zones: set[str] = set()
        for channel in channels():
            self._open(channel)
        if not self.read() and (self.errors or not self._counters):
            self.close()
            raise MeterUnavailable(_why(self.errors))

    @property
    def zones(self) -> Set[str]:
        """Those that have answered."""
        return self._zones

    def read(self) -> list[ZoneReading]:
        """What is new; channels that failed, or went, are in `errors` until the next read."""
        self._look_for_missing()
        readings, failures = [], list(self._missing.values())
        for counter in tuple(self._counters.values()):
            try:
                reading, failure = counter.read()
            except (OSError, ValueError) as error:
                reading, failure = None, self._failed(counter, error)
            readings += [reading] if reading else []
            failures += [failure] if failure else []
        self._zones |= {reading.zone for reading in readings}
        self.errors = failures
        return readings

    def close(self) -> None:
        """Close every descriptor."""
        for counter in self._counters.values():
            counter.close()
        self._counters.clear()

    def _open(self, channel: Channel) -> None:
        kind = HwmonCounter if channel.kind == ENERGY else PowerCounter
        self._known[channel.path] = channel
        try:
            self._counters[channel.path] = kind(channel, self._clock, self._open_file, self._read_file)
        except OSError as error:
            self._missing[channel.path] = _meter_error(channel, error)
        else:
            for path in [path for path in self._missing if _is_same(self._known.get(path), channel)]:
                del self._missing[path]

    def _failed(self, counter: Counter, error: OSError | ValueError) -> MeterError:
        failure = _meter_error(counter.channel, error)
        if failure.vanished:
            counter.close()
            del self._counters[failure.path]
            self._missing[failure.path] = failure
        return failure

    def _look_for_missing(self) -> None:
        """A chip that comes back has another number, as a rule, and so another path."""
        self._reads += 1
        if self._missing and self._reads % self._rescan_reads == 0:
            for channel in self._channels():
                if channel.path not in self._counters:
                    self._open(channel)


class HwmonMeters:
    """What counts by itself and what is added up in a thread, as one meter. Either may be missing."""

    name = "hwmon"

    def __init__(self, *meters: PowerMeter) -> None:
        self.errors: Sequence[MeterError] = ()
        self._meters = meters

    @property
    def zones(self) -> Set[str]:
        """Those of both."""
        return frozenset().union(*(meter.zones for meter in self._meters))

    def read(self) -> list[ZoneReading]:
        """What is new in either."""
        readings = [reading for meter in self._meters for reading in meter.read()]
        self.errors = [error for meter in self._meters for error in meter.errors]
        return readings

    def close(self) -> None:
        """Let go of both."""
        for meter in self._meters:
            meter.close()


def _is_same(before: Channel | None, now: Channel) -> bool:
    """Whether a channel is what another was before it went."""
    return before is not None and (before.zone, before.socket, before.device) == (
        now.zone,
        now.socket,
        now.device,
    )


def _meter_error(channel: Channel, error: OSError | ValueError) -> MeterError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EACCES:
        mend = "is denied: run as root, or give CAP_DAC_READ_SEARCH as an effective capability"
        return MeterError(channel.path, mend, vanished=False)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    vanished = number in _GONE
    return MeterError(channel.path, f"{'is gone' if vanished else 'failed'}: {reason}", vanished)


def _why(errors: Sequence[MeterError]) -> str:
    told = [f"{error.path} {error.message}" for error in errors] or ["it has no channel"]
    return f"nothing of hwmon can be read: {told[0]}"
