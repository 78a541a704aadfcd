"""How the hwmon meter is opened: what counts is read in the tick, what tells power alone in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.machine.topology import read_topology
from estimator.meters.background import BackgroundMeter
from estimator.meters.hwmon import Hwmon, HwmonMeter, HwmonMeters
from estimator.meters.port import PowerMeter
from exporter.configuration.config import Config

log = logging.getLogger("exporter.power")

# In which what tells power is asked for the first time; what takes longer is opened in its thread.
_PATIENCE_SECONDS = 2.0
# Ten times a second, and what measures more rarely is asked as often as it does.
_PERIOD_SECONDS, _DEADLINE_SECONDS = 0.1, 10.0
_RESCAN_READS = 600


def open_hwmon_meters(config: Config) -> HwmonMeters:
    """Raises MeterAbsent where hwmon measures nothing that is known, MeterUnavailable where that cannot be
    read."""
    topology = read_topology(config.host.sysfs)
    rules, wanted = config.hwmon.chip_rules, config.hwmon.zones
    hwmon = Hwmon(config.host.sysfs, rules, topology.physical_ids, wanted)
    choice = hwmon.choose()
    if not choice.channels:
        # What the user asked for and is not there is no machine's fault.
        raise (MeterUnavailable if rules or wanted else MeterAbsent)(f"no hwmon: {hwmon.why_empty()}")
    refused: list[str] = []
    meters = [meter for opens in (_counting, _averaging) if (meter := _opened(opens, hwmon, refused))]
    if not meters:
        raise MeterUnavailable("; ".join(refused))
    for line in (*choice.left_out, *refused):
        log.info("hwmon: %s", line)
    chips = sorted({channel.chip for channel in choice.channels})
    log.info("energy is measured: hwmon through %s", ", ".join(chips))
    return HwmonMeters(*meters)


def _opened(
    opens: Callable[[Hwmon], PowerMeter | None], hwmon: Hwmon, refused: list[str]
) -> PowerMeter | None:
    try:
        return opens(hwmon)
    except MeterUnavailable as error:
        refused.append(str(error))
        return None


def _counting(hwmon: Hwmon) -> PowerMeter | None:
    return HwmonMeter(hwmon.counted) if hwmon.counted() else None


def _averaging(hwmon: Hwmon) -> PowerMeter | None:
    """In a thread; its files are opened here, as long as we have the right to, unless that takes long."""
    powers = hwmon.powers()
    if not powers:
        return None
    opened: list[PowerMeter] = []
    refused: list[MeterUnavailable] = []

    def opens() -> None:
        try:
            opened.append(_open_powers(hwmon))
        except MeterUnavailable as error:
            refused.append(error)

    first = threading.Thread(target=opens, name="meter-hwmon-opens", daemon=True)
    first.start()
    first.join(_PATIENCE_SECONDS)
    if refused:
        raise refused[0]

    def take_over() -> PowerMeter:
        first.join()
        return opened.pop() if opened else _open_powers(hwmon)

    zones = opened[0].zones if opened else {channel.zone for channel in powers}
    return BackgroundMeter("hwmon", take_over, _PERIOD_SECONDS, _DEADLINE_SECONDS, zones=zones)


def _open_powers(hwmon: Hwmon) -> HwmonMeter:
    return HwmonMeter(hwmon.powers, rescan_reads=_RESCAN_READS)
