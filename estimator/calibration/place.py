"""What calibration says of one zone: the fit in force and how it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from estimator.calibration.observations import SCALE
from estimator.energy import FloatArray
from estimator.features import PREDICTORS
from estimator.model.power_model import PowerModel

NO_METHOD, PRIOR, RESTORED, FITTED = "none", "prior", "restored", "fitted"


@dataclass(frozen=True, slots=True)
class Fit:
    """A zone's power: idle_watts ≥ 0, and joules per unit by feature, ≥ 0.

    minimum_watts: the least power observed, which bounds the idle power; inf where nothing was.
    """

    idle_watts: float
    coefficients: Mapping[str, float]
    minimum_watts: float = math.inf


@dataclass(frozen=True, slots=True)
class ZoneCalibration:
    """How the calibration of one zone at one path stands.

    method: "none" until anything is in force, then "prior", "restored" or "fitted". fit: what is in force,
    None under "none". error_watts: rolling mean absolute error, one step ahead, of what is in force (of the
    mean power under "none"); shadow_error_watts: that of the fit that learns; both NaN before the first
    interval. promotions: how often the latter took the former's place.
    """

    zone: str
    socket: int | None
    path: str
    method: str
    fit: Fit | None
    error_watts: float
    shadow_error_watts: float
    promotions: int


def priors_of(model: PowerModel, n_cpu: int) -> dict[str, Fit]:
    """What a model says before anything was measured, by zone, for the whole machine."""
    return {name: Fit(zone.idle_watts(n_cpu), zone.coefficients()) for name, zone in model.zones.items()}


def to_weights(fit: Fit, share: float = 1.0) -> FloatArray:
    """As the online fit has it: idle power, then watts per SCALE of each feature; shape (1 + n_features,).

    share: how much of the idle power is this path's. A feature that the fit does not know of weighs 0.
    """
    active = np.array([fit.coefficients.get(name, 0.0) for name in PREDICTORS]) * SCALE
    return np.concatenate([[min(fit.idle_watts * share, fit.minimum_watts)], active])


def to_fit(weights: FloatArray, minimum_watts: float) -> Fit:
    """The inverse of to_weights."""
    return Fit(float(weights[0]), to_coefficients(weights), minimum_watts)


def to_coefficients(weights: FloatArray) -> dict[str, float]:
    """Joules per unit by feature."""
    return dict(zip(PREDICTORS, (weights[1:] / SCALE).tolist(), strict=True))
