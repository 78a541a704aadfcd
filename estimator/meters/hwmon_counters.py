"""What is behind one channel of hwmon, as a counter: its own, or one of ours over its watts."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from estimator.meters.hwmon_channels import PRODUCT, Channel
from estimator.meters.integrated import IntegratedCounter
from estimator.meters.port import MeterError, ZoneReading
from estimator.meters.powercap_counter import OpenFile, ReadFile

# A power that stays away for so long is not drawn through.
_HOLE_SECONDS = 10.0
# What takes long, such as a BMC behind ACPI, is asked for at most this part of the time.
_BUSY_PART = 0.1
_RAREST_SECONDS = 2.0

Answer = tuple[ZoneReading | None, MeterError | None]


class Counter(Protocol):
    """A channel that is open. Making one raises OSError; reading OSError or ValueError."""

    channel: Channel

    def read(self) -> Answer:
        """What is new, and what is to be told beside it."""

    def close(self) -> None:
        """Close its files."""


class HwmonCounter:
    """energy*_input, which counts by itself."""

    def __init__(
        self, channel: Channel, clock: Callable[[], int], open_file: OpenFile, read_file: ReadFile
    ) -> None:
        self.channel = channel
        self._clock, self._read_file = clock, read_file
        self._descriptor = open_file(channel.files[0])

    def read(self) -> Answer:
        """The counter at this moment: the driver takes the value while it is read."""
        channel = self.channel
        if _sleeps(channel):
            return None, None
        energy_uj = _number(self._read_file(self._descriptor), "microjoules")
        if energy_uj > channel.max_energy_uj:
            raise ValueError(f"found {energy_uj}, want at most {channel.max_energy_uj} microjoules")
        reading = ZoneReading(
            channel.zone, channel.socket, channel.path, energy_uj, channel.max_energy_uj, self._clock(),
            device=channel.device,
        )  # fmt: skip
        return reading, None

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class PowerCounter:
    """power*_average or power*_input, or a voltage and a current, added up by ourselves.

    It answers with what is new alone, and reads no more often than the channel measures, or can bear.
    """

    def __init__(
        self, channel: Channel, clock: Callable[[], int], open_file: OpenFile, read_file: ReadFile
    ) -> None:
        self.channel = channel
        self._clock, self._read_file = clock, read_file
        self._due_ns = 0
        # Of some readings the quickest: the others may have waited for a CPU, rather than for the chip.
        self._took_ns: deque[int] = deque(maxlen=8)
        self._descriptors: list[int] = []
        self._integrated = IntegratedCounter(
            channel.zone, channel.socket, channel.path, _HOLE_SECONDS, device=channel.device, most_periods=1.0
        )
        try:
            for file in channel.files:
                self._descriptors.append(open_file(file))
        except OSError:
            self.close()
            raise

    def read(self) -> Answer:
        """The energy up to now, where it is time for the next power."""
        began_ns = self._clock()
        if began_ns < self._due_ns:
            return None, None
        # A thread that woke a little early has not woken for nothing.
        self._due_ns = began_ns + round(0.9e9 * self.channel.period_seconds)
        watts = self._watts()
        ended_ns = self._clock()
        self._took_ns.append(ended_ns - began_ns)
        pause_seconds = min(min(self._took_ns) / 1e9 / _BUSY_PART, _RAREST_SECONDS)
        self._due_ns = max(self._due_ns, ended_ns + round(1e9 * pause_seconds))
        late = self._integrated.take(watts, (began_ns + ended_ns) // 2)
        return self._integrated.reading(), late

    def close(self) -> None:
        """Close the files."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _watts(self) -> float:
        if _sleeps(self.channel):
            return 0.0
        if self.channel.kind == PRODUCT:
            millivolts, milliamperes = (
                _number(self._read_file(descriptor), unit)
                for descriptor, unit in zip(self._descriptors, ("millivolts", "milliamperes"), strict=True)
            )
            return millivolts * milliamperes / 1e6
        watts = _number(self._read_file(self._descriptors[0]), "microwatts") / 1e6
        if not watts and self.channel.zone == "platform":
            # Of a machine that runs: firmware that does not fill it in (ACPI, on some servers).
            raise ValueError("found 0 W for the whole machine: its firmware does not measure")
        return watts


def _sleeps(channel: Channel) -> bool:
    """Whether the kernel put the device to sleep, in which it draws next to nothing and counts nothing."""
    if not channel.state_file:
        return False
    try:
        return Path(channel.state_file).read_text(encoding="utf-8").strip() == "suspended"
    except OSError:
        return False


def _number(content: bytes, unit: str) -> int:
    line = content.split(b"\n", 1)[0]
    if not line.isdigit():
        raise ValueError(f"found {line!r}, want a number of {unit}, not below 0")
    return int(line)
