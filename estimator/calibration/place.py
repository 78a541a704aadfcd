"""What calibration says of one zone: the fit in force and how it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimator.calibration.observations import SCALE
from estimator.energy import FloatArray
from estimator.features import LEARNED
from estimator.model.power_model import PowerModel

NO_METHOD, PRIOR, RESTORED, FITTED = "none", "prior", "restored", "fitted"

# How a zone's idle power is known, the surest first: it was seen while next to nothing ran; the user says so;
# a socket alike was seen; the power of load was taken off what was seen; a model says so. See IdlePower.
ANCHORED, GIVEN, TWIN, NOT_SEEN = "anchored", "given", "twin", "not_seen"
IDLE_METHODS = (ANCHORED, GIVEN, TWIN, NOT_SEEN, RESTORED, PRIOR)


@dataclass(frozen=True, slots=True)
class IdlePower:
    """A zone's idle power. low_watts, high_watts: within which it lies; NaN where nothing tells.

    method: "anchored" by intervals with next to no load; "given" by the user; "twin", as a socket alike;
    "not_seen" where it never idled: what the fit's weights leave; "restored": the same, of before a restart;
    "prior" by a model; "none" before any of them. age_seconds: since a quiet interval was last seen; NaN
    without one.
    """

    method: str
    watts: float
    low_watts: float = math.nan
    high_watts: float = math.nan
    age_seconds: float = math.nan


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a zone drew while next to nothing ran: how well that is known, and how long ago it was."""

    watts: float
    error_watts: float
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A zone's power: idle_watts ≥ 0, and joules per unit by feature, ≥ 0.

    anchor: None where it never idled.
    """

    idle_watts: float
    coefficients: Mapping[str, float]
    anchor: Anchor | None = None


@dataclass(frozen=True, slots=True)
class ZoneCalibration:
    """How the calibration of one zone at one path stands.

    method: "none" until anything is in force, then "prior", "restored" or "fitted". fit: what is in force,
    None under "none". error_watts: rolling mean absolute error, one step ahead, of what is in force (of the
    mean power under "none"); shadow_error_watts: that of the fit that learns; both NaN before the first
    interval. promotions: how often the latter took the former's place. idle: what idling draws, and how that
    is known.
    """

    zone: str
    socket: int | None
    path: str
    method: str
    fit: Fit | None
    error_watts: float
    shadow_error_watts: float
    promotions: int
    idle: IdlePower = IdlePower(NO_METHOD, math.nan)


def recorded_status(told: Mapping[str, Any]) -> ZoneCalibration:
    """What dataclasses.asdict made of one, by this version or one before."""
    fit, idle = told["fit"], told.get("idle")
    if fit is not None:
        anchor = fit.get("anchor")
        fit = Fit(fit["idle_watts"], fit["coefficients"], Anchor(**anchor) if anchor else None)
    if idle is None:  # it was not told apart from the fit then
        idle = {"method": told["method"], "watts": fit.idle_watts if fit else math.nan}
    return ZoneCalibration(**{**told, "fit": fit, "idle": IdlePower(**idle)})


def priors_of(model: PowerModel, n_cpu: int) -> dict[str, Fit]:
    """What a model says before anything was measured, by zone, for the whole machine."""
    return {name: Fit(zone.idle_watts(n_cpu), zone.coefficients()) for name, zone in model.zones.items()}


def to_weights(fit: Fit, share: float = 1.0) -> FloatArray:
    """As the online fit has it: idle power, then watts per SCALE of each feature; shape (1 + n_features,).

    share: how much of the idle power is this path's. A feature that the fit does not know of weighs 0.
    """
    active = np.array([fit.coefficients.get(name, 0.0) for name in LEARNED]) * SCALE
    return np.concatenate([[fit.idle_watts * share], active])


def to_coefficients(weights: FloatArray) -> dict[str, float]:
    """Joules per unit by feature."""
    return dict(zip(LEARNED, (weights[1:] / SCALE).tolist(), strict=True))
