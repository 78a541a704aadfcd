"""The board's power over IPMI: DCMI's watts through the kernel's device, summed up."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Protocol

from estimator.errors import MeterUnavailable
from estimator.meters import dcmi
from estimator.meters.boards import Board, BoardPower
from estimator.meters.integrated import IntegratedCounter
from estimator.meters.ipmi_device import IpmiDevice
from estimator.meters.port import MeterError, ZoneReading
from estimator.meters.powercap import boottime_ns


class Device(Protocol):
    """What IpmiDevice does; asking may take seconds, and raises OSError."""

    path: Path

    def ask(self, netfn: int, command: int, data: bytes) -> bytes:
        """The response, the completion code first."""

    def close(self) -> None:
        """Let go of it."""


class IpmiMeter:
    """What the whole machine draws, by its BMC. It blocks: for a BackgroundMeter.

    period_seconds: how often it is read. boards: where its watts are shown.
    """

    name = "ipmi"
    zones: Set[str] = frozenset({"platform"})

    def __init__(
        self,
        device: Device,
        period_seconds: float,
        boards: BoardPower | None = None,
        clock: Callable[[], int] = boottime_ns,
    ) -> None:
        self.errors: Sequence[MeterError] = ()
        self._device, self._clock = device, clock
        self._boards = boards or BoardPower()
        self._path = str(device.path)
        self._counter = IntegratedCounter("platform", None, self._path, period_seconds)
        self._stamp = 0

    def read(self) -> list[ZoneReading]:
        """One reading, none where the BMC has nothing newer. Raises MeterUnavailable with what it said."""
        self.errors = ()
        try:
            power = dcmi.parse(self._device.ask(dcmi.NETFN, dcmi.POWER_READING, dcmi.REQUEST))
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise MeterUnavailable(f"{self._path}: no power from the BMC: {said}") from None
        if power.stamp and power.stamp == self._stamp:
            return []
        self._stamp = power.stamp
        return self._count(power.watts)

    def close(self) -> None:
        """Let go of the device."""
        self._device.close()

    def _count(self, watts: int) -> list[ZoneReading]:
        try:
            late = self._counter.take(float(watts), self._clock())
        except ValueError as error:
            raise MeterUnavailable(f"{self._path}: no power from the BMC: {error}") from None
        if late is not None:
            self.errors = (late,)
        self._boards.show(self.name, [Board("ipmi", self._device.path.name, "", "0", "DCMI", "DCMI", watts)])
        reading = self._counter.reading()
        return [reading] if reading else []


def open_device(path: Path) -> IpmiDevice:
    """The device, opened. Raises MeterUnavailable with the mend."""
    try:
        return IpmiDevice(path)
    except FileNotFoundError:
        raise MeterUnavailable(
            f"{path} is not there: load ipmi_devintf and ipmi_si on the host, and mount it in a container"
        ) from None
    except OSError as error:
        raise MeterUnavailable(f"{path} cannot be opened: {error.strerror}; it is root's") from None
