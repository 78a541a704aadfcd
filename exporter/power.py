"""Choosing where the node's energy comes from: a meter, else a model, else nowhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ebpf.errors import MeterUnavailable
from estimator.cpu_identity import read_identity
from estimator.energy import EnergySource, SourceInfo, Usage, ZoneEnergy
from estimator.metered import MeteredEnergy
from estimator.meters.powercap import PowercapMeter
from estimator.model_choice import choose_model
from estimator.modelled import ModelledEnergy
from exporter.config import Config

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


@dataclass(frozen=True, slots=True)
class Power:
    """The energy source in force, the weights by which it is shared out, and how to let go of it."""

    source: EnergySource
    coefficients: Coefficients
    close: Callable[[], None]


def choose_power(config: Config) -> Power:
    """The meter if it serves, else the model that --model names; one log line says which and why.

    Raises ModelInvalid or ModelUnavailable for a model file that was asked for and cannot be used.
    """
    try:
        meter = PowercapMeter(config.host.sysfs, zones=config.rapl.zones)
    except MeterUnavailable as error:
        log.warning("no meter: %s", error)
        return _modelled(config)
    log.info("energy is measured: RAPL through %s", config.host.sysfs / "class/powercap")
    return Power(MeteredEnergy(meter), {}, meter.close)


def _modelled(config: Config) -> Power:
    choice = choose_model(config.model, read_identity(config.host.procfs))
    if choice.model is None:
        log.warning("energy is not exported: %s", choice.reason)
        return Power(NoEnergy(), {}, _nothing)
    log.info("energy is estimated: %s", choice.reason)
    energy = ModelledEnergy(choice.model)
    return Power(energy, energy.coefficients(), _nothing)


def _nothing() -> None:
    """There is nothing to close."""
