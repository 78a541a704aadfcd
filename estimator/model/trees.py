"""A zone predicted by boosted trees and, half and half, by a curve for each feature.

In a model file (schema podjoule.model/1) the zone is

    {"kind": "trees",
     "features": ["cycles", …], "limits": [2.2e9, …],
     "share": 0.5,
     "linear": {"idle_watts_per_cpu": 0.8, "extends": ["cycles"],
                "terms": [{"feature": "cycles", "power": 3, "watts_per_cpu": 1.9},
                          {"feature": "cycles", "knee": 0.1, "watts_per_cpu": 0.3}, …]},
     "trees": {"baseline_watts_per_cpu", "root", "feature", "threshold", "left", "right", "value"},
     "coefficients": {"cycles": 2e-9, …}, "ceiling_watts_per_cpu": 10.5,
     "interval": {"coverage": 0.9, "watts_per_cpu": 0.5,
                  "outside": {"watts_per_cpu": 1.1,
                              "growth": {"cycles": {"limit": 2.2e9, "watts_per_cpu": 3.2}, …}},
                  "by_load": {"load": […], "watts_per_cpu": […]}}}

With the rate r_f = x_f / (n_cpu · Δt), per CPU-second of the machine's capacity, and h_f = min(r_f, limit_f):

    E = n_cpu · Δt · max(0, share · T(h) + (1 - share) · L(h) + B)
    L(h) = idle + Σ watts · rise(h_f / limit_f), rise(x) = x ^ power, or x · (1 + knee) / (x + knee)
    B    = Σ over terms of the features in extends: watts · rise'(1) · (r_f - h_f) / limit_f

so beyond the limits, which are the envelope of the training, the trees and L are held and the tangent of L
takes over, along the features whose energy is known to grow with them; along all others nothing does. Without
"linear", share is 1. Trees: node arrays over all trees, "root" the first node of each; a leaf has feature -1
and children -1; a row goes left where h_f ≤ threshold. coefficients, joules per unit, share energy out among
cgroups; the prediction does not use them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from estimator.model.document import Field
from estimator.model.estimate import Estimate, Features
from estimator.model.forest import Forest, read_forest
from estimator.model.margin import LoadMargin, load_of, read_ceiling, read_margin
from estimator.model.rise import rise, slope_at_limit

_MOST_FEATURES = 32
_MOST_TERMS = 128
_MOST_WATTS = 1e9


class LinearPart(NamedTuple):
    """L and B of the module's docstring. feature, power, knee (0: it is a power), watts: shape (n_terms,);
    goes_on: does it extend."""

    idle: float
    feature: npt.NDArray[np.intp]
    power: FloatArray
    knee: FloatArray
    watts: FloatArray
    goes_on: npt.NDArray[np.bool_]

    def within(self, held: FloatArray) -> FloatArray:
        """L for held rates over their limits, shape (n, n_features); shape (n,), watts per CPU."""
        risen = rise(held[:, self.feature], self.power, self.knee)
        return np.asarray(self.idle + risen @ self.watts, dtype=np.float64)

    def beyond(self, excess: FloatArray) -> FloatArray:
        """B for what exceeds the limits, over them; shapes as in within."""
        slope = np.where(self.goes_on, slope_at_limit(self.power, self.knee) * self.watts, 0.0)
        return np.asarray(excess[:, self.feature] @ slope, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class TreesZone:
    """The zone of the module's docstring. limits: shape (n_features,), units per CPU-second of capacity.
    ceiling: watts per CPU that no such machine draws more than."""

    features: tuple[str, ...]
    limits: FloatArray
    share: float
    linear: LinearPart | None
    forest: Forest
    sharing: Features
    margin: LoadMargin
    ceiling: float = math.inf

    def idle_watts(self, n_cpu: int) -> float:
        """The draw of the whole machine at no load, watts."""
        return n_cpu * min(self.ceiling, float(self.watts_per_cpu(np.zeros((1, len(self.features))))[0]))

    def needs(self) -> frozenset[str]:
        """The features that a prediction needs."""
        return frozenset(self.features)

    def coefficients(self) -> Features:
        """Joules per unit of each feature, for sharing energy out."""
        return self.sharing

    def covers(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:
        """False where a feature exceeds its limit, so that the prediction is held or extended."""
        return self._is_inside(self._rates(features, n_cpu, interval_seconds))

    def predict(self, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The energy of an interval; its bounds never go below zero, nor it and they above the ceiling.

        Beyond the limits they are as far apart as errors were on rows as far beyond the others', and half of
        B more: a slope that was seen as far as the limit may be another after it.
        """
        capacity = n_cpu * interval_seconds
        rates = self._rates(features, n_cpu, interval_seconds)
        joules = capacity * float(self.watts_per_cpu(rates)[0])
        load = load_of(features.get("cpu_seconds"), n_cpu, interval_seconds)
        of_feature = dict(zip(self.features, rates[0].tolist(), strict=True))
        margin = self.margin.at(load, inside=self._is_inside(rates), rates=of_feature)
        off = capacity * (margin + float(self._beyond(rates)[0]) / 2)
        return Estimate(joules, max(0.0, joules - off), joules + off).up_to(self.ceiling * capacity)

    def watts_per_cpu(self, rates: FloatArray) -> FloatArray:
        """Power over n_cpu for rates of shape (n, n_features); shape (n,)."""
        held = np.minimum(rates, self.limits)
        watts = self.share * self.forest.predict(held) + self._beyond(rates)
        if self.linear is not None:
            watts += (1 - self.share) * self.linear.within(held / self.limits)
        return np.maximum(0.0, watts)

    def _beyond(self, rates: FloatArray) -> FloatArray:
        excess = np.maximum(0.0, rates / self.limits - 1)
        return np.zeros(len(rates)) if self.linear is None else self.linear.beyond(excess)

    def _is_inside(self, rates: FloatArray) -> bool:
        return not (rates > self.limits).any()

    def _rates(self, features: Features, n_cpu: int, interval_seconds: float) -> FloatArray:
        capacity = n_cpu * interval_seconds
        values = [features[name] for name in self.features]
        return np.array([values]) / capacity if capacity > 0 else np.zeros((1, len(values)))


def read_trees_zone(zone: Field) -> TreesZone:
    """The zone of a model file, or ModelInvalid naming the field."""
    features = tuple(name.text() for name in zone["features"].elements(_MOST_FEATURES))
    if not features or len(set(features)) != len(features):
        zone["features"].refuse("names of features, each once")
    limits = zone["limits"].array(_MOST_FEATURES, least=1e-9, most=1e18)
    if len(limits) != len(features):
        zone["limits"].refuse(f"{len(features)} numbers, as many as features")
    has_linear = zone.mapping().get("linear") is not None
    return TreesZone(
        features=features,
        limits=limits,
        share=zone["share"].number(least=0.0 if has_linear else 1.0, most=1.0),
        linear=_linear_part(zone["linear"], features) if has_linear else None,
        forest=read_forest(zone["trees"], len(features)),
        sharing={name: field.number(most=_MOST_WATTS) for name, field in zone["coefficients"].items()},
        margin=read_margin(zone["interval"], "watts_per_cpu"),
        ceiling=read_ceiling(zone),
    )


def _linear_part(linear: Field, features: tuple[str, ...]) -> LinearPart:
    terms = linear["terms"].elements(_MOST_TERMS)
    extends = {name.one_of(features) for name in linear["extends"].elements(_MOST_FEATURES)}
    names = [term["feature"].one_of(features) for term in terms]
    bent = [(term, "knee" in term.mapping()) for term in terms]
    return LinearPart(
        idle=linear["idle_watts_per_cpu"].number(most=_MOST_WATTS),
        feature=np.array([features.index(name) for name in names], dtype=np.intp),
        power=np.array([1.0 if has else term["power"].number(0.125, 8.0) for term, has in bent]),
        knee=np.array([term["knee"].number(1e-3, 10.0) if has else 0.0 for term, has in bent]),
        watts=np.array([term["watts_per_cpu"].number(most=_MOST_WATTS) for term in terms]),
        goes_on=np.array([name in extends for name in names], dtype=np.bool_),
    )
