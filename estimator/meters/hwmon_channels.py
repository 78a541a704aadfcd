"""What of hwmon is read: for each zone of a chip its energy, else its power, else current times voltage."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from estimator.meters.hwmon_rules import NO_ZONE, ChipRule, Measure
from estimator.meters.hwmon_table import KNOWN, rule_of
from estimator.meters.hwmon_tree import CURRENT, ENERGY, POWER, VOLTAGE, Chip, Sensor

PRODUCT = "product"

_OF_SOCKET = frozenset({"package", "core", "uncore", "dram"})
_SOCKET = re.compile(r"socket ?(\d+)$", re.IGNORECASE)
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.1, 1.0
_RANGE_UJ = 2**63 - 1  # of hwmon's long


@dataclass(frozen=True, slots=True)
class Channel:
    """One thing that is read.

    zone, socket, device, max_energy_uj: as in ZoneReading. kind: ENERGY, POWER or PRODUCT. files: one, or the
    voltage's and the current's. period_seconds: how often it has something new. chip: for messages.
    state_file: of a GPU, which to read would wake; "" where it never sleeps.
    """

    zone: str
    socket: int | None
    device: str
    kind: str
    files: tuple[str, ...]
    period_seconds: float
    max_energy_uj: int
    chip: str
    state_file: str = ""

    @property
    def path(self) -> str:
        """Its identity."""
        return self.files[0]


@dataclass(frozen=True, slots=True)
class Choice:
    """The channels that are read, and a line for whatever of power is not, and why."""

    channels: tuple[Channel, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A sensor, or a voltage and the current that belongs to it."""

    kind: str
    sensors: tuple[Sensor, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for sensor in self.sensors for name in (sensor.label, sensor.id))


def choose(
    chips: Sequence[Chip],
    own: Sequence[ChipRule] = (),
    sockets: Sequence[int] = (0,),
    wanted: Collection[str] = (),
) -> Choice:
    """What to read of these chips.

    own: the user's rules, which go before the table. sockets: the packages' numbers, ascending: where a chip
    is one socket's and there are as many of a name, they go in their order. wanted: zones, labels or ids that
    are read, empty for all that is known.
    """
    found = [(rule, chip, list(_of_chip(chip, rule))) for chip in chips if (rule := rule_of(chip, own))]
    channels: list[Channel] = []
    known = {chip.path for rule, chip, some in found if some or _is_something_else(chip, rule)}
    left_out = [_unknown(chip) for chip in chips if chip.path not in known]
    taken: dict[tuple[str, str], str] = {}
    names = [rule.name for rule in (*own, *KNOWN)]
    for rule, chip, some in sorted(found, key=lambda each: names.index(each[0].name)):
        origin = "hwmon.chipRules" if any(each.is_of(chip) for each in own) else chip.name
        for zone, source in some:
            channel = _channel(chip, rule, zone, source, _socket(chip, rule, zone, source, chips, sockets))
            holder = taken.setdefault((zone, channel.device), origin)
            if holder != origin:
                left_out.append(f"{channel.chip} measures {zone} too; {holder} is taken")
            elif not wanted or _is_wanted(zone, source, wanted):
                channels.append(channel)
    return Choice(tuple(channels), tuple(dict.fromkeys(line for line in left_out if line)))


def _of_chip(chip: Chip, rule: ChipRule) -> Iterator[tuple[str, _Source]]:
    if rule.unless & {sensor.label for sensor in chip.sensors}:
        return
    by_measure: dict[Measure, list[_Source]] = {}
    for source in _sources(chip, rule):
        measure = next((each for each in rule.measures if each.fits(*source.names)), None)
        if measure is not None and measure.zone != NO_ZONE:
            by_measure.setdefault(measure, []).append(source)
    done: set[str] = set()
    for measure in rule.measures:
        if measure in by_measure and measure.zone not in done:
            done.add(measure.zone)
            sources = by_measure[measure]
            best = min((ENERGY, POWER, PRODUCT).index(source.kind) for source in sources)
            yield from (
                (measure.zone, source) for source in sources if source.kind == (ENERGY, POWER, PRODUCT)[best]
            )


def _is_something_else(chip: Chip, rule: ChipRule) -> bool:
    labels = {sensor.label for sensor in chip.sensors}
    return bool(rule.unless & labels) or any(measure.zone == NO_ZONE for measure in rule.measures)


def _sources(chip: Chip, rule: ChipRule) -> Iterator[_Source]:
    for sensor in chip.sensors:
        if sensor.kind == POWER or (sensor.kind == ENERGY and sensor.input_file):
            yield _Source(sensor.kind, (sensor,))
    for pair in _pairs(chip, rule):
        yield _Source(PRODUCT, pair)


def _pairs(chip: Chip, rule: ChipRule) -> Iterator[tuple[Sensor, Sensor]]:
    """Each voltage with its current: by the rule, by their labels, or by the same index."""
    currents = [sensor for sensor in chip.sensors if sensor.kind == CURRENT and sensor.input_file]
    for voltage in (sensor for sensor in chip.sensors if sensor.kind == VOLTAGE and sensor.input_file):
        if voltage.index not in rule.skip_voltages:
            belonging = (each for each in currents if _belongs(each, voltage, rule))
            if (current := next(belonging, None)) is not None:
                yield voltage, current


def _belongs(current: Sensor, voltage: Sensor, rule: ChipRule) -> bool:
    if current.index in rule.skip_currents:
        return False
    if rule.pairings is not None:
        return rule.pairings.get(voltage.index) == current.index
    if voltage.label and current.label and not rule.is_same_index:
        # PMBus: vin and iin, vout1 and iout1 (drivers/hwmon/pmbus/pmbus_core.c).
        return current.label in (voltage.label, re.sub("^v", "i", voltage.label))
    return current.index == voltage.index


def _channel(chip: Chip, rule: ChipRule, zone: str, source: _Source, socket: int | None) -> Channel:
    # A mean over some time has seen what one moment has not.
    files = [(sensor.average_file, sensor.input_file) for sensor in source.sensors]
    averages = all(average for average, _ in files)
    seconds = source.sensors[0].average_seconds if averages else chip.update_seconds
    return Channel(
        zone,
        socket,
        chip.device if zone == "gpu" else "",
        source.kind,
        tuple(average if averages else at_once or average for average, at_once in files),
        min(max(seconds or _SHORTEST_SECONDS, _SHORTEST_SECONDS), _LONGEST_SECONDS),
        rule.max_energy_uj or _RANGE_UJ,
        f"{chip.shown} ({chip.name} at {chip.device})",
        chip.state_file if zone == "gpu" else "",
    )


def _socket(
    chip: Chip, rule: ChipRule, zone: str, source: _Source, chips: Sequence[Chip], sockets: Sequence[int]
) -> int | None:
    """Which package a source is of, None where that is not known or it is the machine's."""
    if zone not in _OF_SOCKET:
        return None
    for name in source.names:
        if match := _SOCKET.search(name):
            return int(match[1])
    if len(sockets) == 1:
        return sockets[0]
    alike = [each for each in chips if each.name == chip.name]
    return sockets[alike.index(chip)] if rule.of_socket and len(alike) == len(sockets) else None


def _is_wanted(zone: str, source: _Source, wanted: Collection[str]) -> bool:
    names = {name.casefold() for name in wanted}
    # Kepler writes labels as it exports them.
    return any(
        name.casefold() in names or re.sub("[^a-z0-9:_]", "_", name.casefold()).strip("_") in names
        for name in (zone, *source.names)
    )


def _unknown(chip: Chip) -> str:
    """A line where a chip may measure what somebody wants to know."""
    shown = [
        f"{sensor.id} ({sensor.label})" if sensor.label else sensor.id
        for sensor in chip.sensors
        if sensor.kind in (ENERGY, POWER)
    ] or ["voltage and current"] * ({VOLTAGE, CURRENT} <= {sensor.kind for sensor in chip.sensors})
    if not shown or "/power_supply/" in chip.path:  # batteries say what they give, and only then
        return ""
    return (
        f"{chip.shown} ({chip.name} at {chip.device}) has {', '.join(shown)}, and it is not known which zone"
        " that is: say so in hwmon.chipRules"
    )
