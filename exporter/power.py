"""Choosing where the node's energy comes from: a meter, else a model, else nowhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from ebpf.counters import FIELDS
from ebpf.cpus import online_cpus
from ebpf.errors import MeterUnavailable, UsageError
from estimator.attribution import FEATURES
from estimator.calibration import Calibration
from estimator.calibration_state import load_state
from estimator.cpu_identity import read_identity
from estimator.cpu_topology import read_topology
from estimator.energy import EnergySource, SourceInfo, Usage, ZoneEnergy
from estimator.metered import MeteredEnergy
from estimator.meters.powercap import PowercapMeter
from estimator.meters.powercap_tree import POWERCAP
from estimator.model_choice import Anchors, ModelChoice, choose_model
from estimator.modelled import ModelledEnergy
from estimator.specification import read_specification
from estimator.zone_calibration import priors_of
from exporter.calibrated import CalibratedEnergy, CalibrationFile
from exporter.config import Config
from exporter.model_watch import CurrentCoefficients, FollowedEnergy, ModelWatch

log = logging.getLogger("exporter.power")

Coefficients = Mapping[str, Mapping[str, float]]


class NoEnergy:
    """Neither meter nor model: CPU time is counted, joules are not."""

    info = SourceInfo("none")

    def measure(self, usage: Usage) -> list[ZoneEnergy]:  # noqa: ARG002  the port's signature
        """No zone."""
        return []

    def errors(self) -> Mapping[str, int]:
        """None are possible."""
        return {}


def _none_refused() -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Power:
    """The energy source in force, the weights by which it is shared out, and how to let go of it.

    What the source and the coefficients answer may change between two ticks. refused: by model file, how
    often it was read and not taken over. calibration: what a meter has taught, and meter: its own last
    readings; None without one.
    """

    source: EnergySource
    coefficients: Coefficients
    close: Callable[[], None]
    refused: Callable[[], Mapping[str, int]] = _none_refused
    calibration: Calibration | None = None
    meter: MeteredEnergy | None = None


def choose_power(config: Config, counted: Set[str] = frozenset({"cpu_ns"})) -> Power:
    """The meter if it serves, else the model that --model names; one log line says which and why.

    counted: the counters that are measured, by their names in ebpf.counters.FIELDS; a model that needs
    another is not chosen.
    With a meter, a model file says by which weights its energy is shared out (DESIGN section 4, step 3).
    Raises ModelInvalid or ModelUnavailable for a model file that was asked for and cannot be used.
    """
    asked = None if config.model in ("auto", "none") else _choose(config, counted)
    watch = ModelWatch(Path(config.model), asked.model) if asked and asked.model else None
    try:
        meter = PowercapMeter(config.host.sysfs, config.rapl.zones, powercap=config.host.powercap)
    except MeterUnavailable as error:
        log.warning("no meter: %s", error)
        return _modelled(asked or _choose(config, counted), watch)
    log.info("energy is measured: RAPL through %s", config.host.powercap or config.host.sysfs / POWERCAP)
    metered = MeteredEnergy(meter)
    plain = Power(metered, {}, meter.close) if watch is None else _followed(watch, metered, meter.close)
    return replace(_calibrated(config, plain, watch), meter=metered)


def _calibrated(config: Config, power: Power, watch: ModelWatch | None) -> Power:
    """The power of a meter that teaches what idling costs (DESIGN section 4, steps 2 and 3)."""
    topology = read_topology(config.host.sysfs)
    machine = f"{read_identity(config.host.procfs).model_name}, {topology.n_cpu} CPUs"
    path = config.state.dir / "calibration.json" if config.state.dir else None
    calibration = Calibration(
        {physical: i for i, physical in enumerate(topology.physical_ids)},
        priors_of(watch.model, topology.n_cpu) if watch else {},
        load_state(path, machine) if path else {},
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


def _choose(config: Config, counted: Set[str]) -> ModelChoice:
    identity, topology = read_identity(config.host.procfs), read_topology(config.host.sysfs)
    return choose_model(
        config.model,
        identity,
        {name for name, (field, _) in FEATURES.items() if FIELDS[field] in counted},
        read_specification(config.host.sysfs, identity.model_name, topology.n_cpu, topology.n_sockets),
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


def _followed(watch: ModelWatch, meter: EnergySource | None, close: Callable[[], None]) -> Power:
    """The power of a model file that may be replaced while we run."""
    energy = FollowedEnergy(watch, meter)
    return Power(energy, CurrentCoefficients(energy.coefficients), close, lambda: watch.refused)


def _nothing() -> None:
    """There is nothing to close."""
