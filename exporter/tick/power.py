"""Choosing where the node's energy comes from: a meter, else a model, else nowhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from ebpf.cpus import online_cpus
from ebpf.errors import UsageError
from estimator.calibration.calibration import Calibration
from estimator.calibration.place import priors_of
from estimator.calibration.state import load_state
from estimator.energy import EnergySource, SourceInfo, Usage, ZoneEnergy
from estimator.errors import ModelInvalid
from estimator.features import Coefficients, names_measured
from estimator.machine.description import MachineDescription, describe
from estimator.machine.identity import CpuIdentity, read_identity
from estimator.machine.size import read_instance_type, read_size
from estimator.machine.topology import read_topology
from estimator.meters.port import CPU_ZONES
from estimator.meters.several import SeveralMeters
from estimator.model.choice import Anchors, ModelChoice, choose_model, for_machine, lacking
from estimator.model.modelled import ModelledEnergy
from estimator.model.power_model import PowerModel
from exporter.configuration.config import Config
from exporter.tick.awaited_type import AwaitedType
from exporter.tick.calibrated import CalibratedEnergy, CalibrationFile
from exporter.tick.meters import open_meters
from exporter.tick.model_watch import CurrentCoefficients, FollowedEnergy, ModelWatch

log = logging.getLogger("exporter.power")


class NoEnergy:
    """Neither meter nor model: CPU time is counted, joules are not."""

    info = SourceInfo("none")

    def infos(self) -> Mapping[str, SourceInfo]:
        """None is given."""
        return {}

    def measure(self, usage: Usage) -> list[ZoneEnergy]:  # noqa: ARG002  the port's signature
        """No zone."""
        return []

    def errors(self) -> Mapping[str, int]:
        """None are possible."""
        return {}


def _none_refused() -> Mapping[str, int]:
    return {}


def _no_fallback() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Power:
    """The energy source in force, the weights by which it is shared out, and how to let go of it.

    What the source and the coefficients answer may change between two ticks. refused: by model file, how
    often it was read and not taken over. calibration: what a meter has taught, and meter: the meters
    themselves; None without one. tell: takes the machine's instance type where it would help to know it.
    fallback: by model file that was asked for and cannot serve here, the features that it lacks. unserving:
    by name of a meter that is there and does not serve, why not.
    """

    source: EnergySource
    coefficients: Coefficients
    close: Callable[[], None]
    refused: Callable[[], Mapping[str, int]] = _none_refused
    calibration: Calibration | None = None
    meter: SeveralMeters | None = None
    tell: Callable[[str], None] | None = None
    fallback: Callable[[], Mapping[str, str]] = _no_fallback
    unserving: Mapping[str, str] = field(default_factory=dict)


def choose_power(config: Config, counted: Set[str] = frozenset({"cpu_ns"})) -> Power:
    """The meters that serve, and where none is of the CPU the model that --model names; a log line says which
    and why.

    counted: the counters that are measured, by their names in ebpf.counters.FIELDS; a model that needs
    another is not chosen, and where it was asked for the next that can serve stands in for it.
    With a meter, a model file says by which weights its energy is shared out (DESIGN section 4, step 3).
    Raises ModelInvalid or ModelUnavailable for a model file that was asked for and cannot be used.
    """
    identity = read_identity(config.host.procfs)
    asked = None if config.model in ("auto", "none") else _choose(config, identity, counted)
    watch = _watch(config, identity, asked.model) if asked and asked.model else None
    opened = open_meters(config, identity)
    if opened.zones & CPU_ZONES:
        several = SeveralMeters(opened.meters)
        plain = (
            Power(several, {}, several.close) if watch is None else _followed(watch, several, several.close)
        )
        calibrated = _calibrated(config, identity, plain, watch)
        return replace(calibrated, meter=several, unserving=opened.unserving)
    if not opened.meters:
        log.warning("no meter: %s", opened.why_none)
    power = _unmetered(config, identity, counted, asked, watch)
    if opened.meters:
        beside = _beside(SeveralMeters(opened.meters, _source(power)), power)
        taught = _calibrated(config, identity, beside, watch)
        power = replace(taught, meter=beside.meter, tell=power.tell, fallback=power.fallback)
    return replace(power, unserving=opened.unserving)


def _unmetered(
    config: Config,
    identity: CpuIdentity,
    counted: Set[str],
    asked: ModelChoice | None,
    watch: ModelWatch | None,
) -> Power:
    """The power of a model, if there is one."""
    if watch is None and _is_awaited(config):
        return _awaiting(config, identity, counted)
    if asked and asked.model and (lacks := lacking(asked.model, names_measured(counted))):
        return _fallen_back(config, identity, counted, asked.model, lacks)
    return _modelled(asked or _choose(config, identity, counted), watch)


def _source(power: Power) -> EnergySource | None:
    return None if isinstance(power.source, NoEnergy) else power.source


def _beside(several: SeveralMeters, power: Power) -> Power:
    """Meters of what a model knows less of, before the model."""

    def close() -> None:
        several.close()
        power.close()

    return replace(power, source=several, close=close, meter=several)


def _calibrated(config: Config, identity: CpuIdentity, power: Power, watch: ModelWatch | None) -> Power:
    """The power of a meter that teaches what idling costs (DESIGN section 4, steps 2 and 3)."""
    topology = read_topology(config.host.sysfs)
    machine = f"{identity.model_name}, {topology.n_cpu} CPUs"
    path = config.state.dir / "calibration.json" if config.state.dir else None
    calibration = Calibration(
        topology.socket_index,
        priors_of(watch.model, topology.n_cpu) if watch else {},
        load_state(path, machine) if path else {},
        given=_given(config),
        is_frozen=config.calibration == "off",
    )
    energy = CalibratedEnergy(
        power.source, calibration, power.coefficients, CalibrationFile(path, machine), watch
    )

    def close() -> None:
        energy.save()
        power.close()

    coefficients = CurrentCoefficients(energy.coefficients)
    return Power(energy, coefficients, close, power.refused, calibration)


def _given(config: Config) -> dict[str, float]:
    """What the user says the whole machine draws while it idles, by the zones that are the whole machine."""
    idle_watts = config.anchors.idle_watts
    return {} if idle_watts is None else {"platform": idle_watts, "psys": idle_watts}


def _anchors(config: Config, n_cpu: int) -> Anchors | None:
    """Both ends or neither. Raises UsageError."""
    idle, full = config.anchors.idle_watts, config.anchors.full_watts
    if idle is None and full is None:
        return None
    if idle is None or full is None or idle > full:
        raise UsageError(
            f"--model.idle-watts and --model.full-watts: found {idle} and {full};"
            " give both, the second not below the first"
        )
    return Anchors(idle, full, n_cpu)


def _watch(config: Config, identity: CpuIdentity, model: PowerModel) -> ModelWatch:
    machine = _machine(config, identity)
    return ModelWatch(Path(config.model), model, lambda read: for_machine(read, machine))


def _fallen_back(
    config: Config, identity: CpuIdentity, counted: Set[str], asked: PowerModel, lacks: Set[str]
) -> Power:
    """The power of the next model that can serve here, until the file holds one that can."""
    log.error(
        "model %s from %s cannot serve here: %s not measured; another stands in for it",
        *(asked.name, config.model, ", ".join(sorted(lacks))),
    )
    lacking_by_file = {config.model: ",".join(sorted(lacks))}
    choice = _choose(replace(config, model="auto"), identity, counted)
    if choice.model is None:
        return replace(_modelled(choice, None), fallback=lambda: lacking_by_file)
    machine = _machine(config, identity)

    def able(read: PowerModel) -> PowerModel:
        if lacks := lacking(read, names_measured(counted)):
            raise ModelInvalid(
                f"model {read.name} from {config.model} cannot serve here: it predicts from"
                f" {', '.join(sorted(lacks))}, not measured; train one from what is"
            )
        lacking_by_file.clear()
        return for_machine(read, machine)

    watch = ModelWatch(Path(config.model), choice.model, able)
    return replace(_modelled(choice, watch), fallback=lambda: lacking_by_file)


def _machine(config: Config, identity: CpuIdentity, told: str = "") -> MachineDescription:
    """told: the instance type that the node's label says; the configuration and DMI go before it."""
    topology = read_topology(config.host.sysfs)
    size = read_size(config.host.sysfs, config.host.procfs, identity, topology)
    return describe(identity, size, _own_instance_type(config) or told)


def _own_instance_type(config: Config) -> str:
    return config.machine.instance_type or read_instance_type(config.host.sysfs)


def _is_awaited(config: Config) -> bool:
    """Whether the node may be asked for its instance type, and nobody else tells it."""
    return config.kube.read_node and config.model == "auto" and not _own_instance_type(config)


def _choose(config: Config, identity: CpuIdentity, counted: Set[str], told: str = "") -> ModelChoice:
    return choose_model(
        config.model,
        identity,
        names_measured(counted),
        _machine(config, identity, told),
        _anchors(config, len(online_cpus(config.host.sysfs))),
    )


def _modelled(choice: ModelChoice, watch: ModelWatch | None) -> Power:
    if choice.model is None:
        log.warning("energy is not exported: %s", choice.reason)
        return Power(NoEnergy(), {}, _nothing)
    log.info("energy is estimated: %s", choice.reason)
    if watch is not None:
        return _followed(watch, None, _nothing)
    energy = ModelledEnergy(choice.model)
    return Power(energy, energy.coefficients(), _nothing)


def _awaiting(config: Config, identity: CpuIdentity, counted: Set[str]) -> Power:
    """The model of what is known now, until the node's instance type is told."""
    choice = _choose(config, identity, counted)
    if choice.model is None:
        return _modelled(choice, None)
    log.info("energy is estimated: %s", choice.reason)
    awaited = AwaitedType(choice.model, choice.reason, lambda told: _choose(config, identity, counted, told))
    energy = FollowedEnergy(awaited)
    return Power(energy, CurrentCoefficients(energy.coefficients), _nothing, tell=awaited.tell)


def _followed(watch: ModelWatch, meter: EnergySource | None, close: Callable[[], None]) -> Power:
    """The power of a model file that may be replaced while we run."""
    energy = FollowedEnergy(watch, meter)
    return Power(energy, CurrentCoefficients(energy.coefficients), close, lambda: watch.refused)


def _nothing() -> None:
    """There is nothing to close."""
