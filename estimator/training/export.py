"""Fitted pipelines as the zones of a model file: numbers and names, nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor

from estimator.energy import FloatArray
from estimator.training.conformal import Margins
from estimator.training.linear_power import LinearPower
from estimator.training.trees_power import TreesPower

# Enough for predictions equal to scikit-learn's to 1e-9, few enough that machines agree on them.
_DIGITS = 12


def linear_zone(fitted: LinearPower, features: Sequence[str], n_cpu: int, margins: Margins) -> dict[str, Any]:
    """The zone of a fit of watts per CPU; limits become "held" where the feature does not extend."""
    held = [name for name, extends in zip(features, fitted.extends, strict=True) if not extends]
    limits = dict(zip(features, rounded(fitted.limits_), strict=True))
    return {
        "kind": "linear",
        "idle_watts": rounded(fitted.idle_ * n_cpu),
        "coefficients": sharing(fitted, features),
        "held": {name: limits[name] for name in held},
        "interval": margins.document("watts", n_cpu),
    }


def trees_zone(
    fitted: TreesPower, features: Sequence[str], coefficients: Mapping[str, float], margins: Margins
) -> dict[str, Any]:
    """The zone of a fit of watts per CPU; see estimator.model.trees for what stands where."""
    curves = fitted.linear_
    terms = zip(
        *(curves.feature_, rounded(curves.power_), rounded(curves.knee_), rounded(curves.watts_)), strict=True
    )
    extends = [name for name, goes_on in zip(features, fitted.extends, strict=True) if goes_on]
    return {
        "kind": "trees",
        "features": list(features),
        "limits": rounded(curves.limits_),
        "share": fitted.share,
        "linear": {
            "idle_watts_per_cpu": rounded(curves.idle_),
            "extends": extends,
            "terms": [
                {"feature": features[at], "watts_per_cpu": watts}
                | ({"knee": knee} if knee else {"power": power})
                for at, power, knee, watts in terms
                if watts > 0
            ],
        },
        "trees": forest_document(fitted.trees_),
        "coefficients": dict(coefficients),
        "interval": margins.document("watts_per_cpu"),
    }


def sharing(fitted: LinearPower, features: Sequence[str]) -> dict[str, float]:
    """Joules per unit of each feature."""
    return dict(zip(features, rounded(fitted.joules_per_unit()), strict=True))


def forest_document(boosted: HistGradientBoostingRegressor) -> dict[str, Any]:
    """The nodes of all trees one after the other.

    Read from scikit-learn's private _predictors, the one place where its nodes are; tests hold the result
    against its predict. Missing values and categories do not occur.
    """
    trees = [predictors[0].nodes for predictors in boosted._predictors]
    roots = np.cumsum([0, *(len(nodes) for nodes in trees[:-1])])
    shifted = [(nodes, root) for nodes, root in zip(trees, roots, strict=True)]
    return {
        "baseline_watts_per_cpu": rounded(float(boosted._baseline_prediction.item())),
        "root": roots.tolist(),
        "feature": _nodes(trees, "feature_idx", leaf=-1),
        "threshold": rounded(np.array(_nodes(trees, "num_threshold", leaf=0.0))),
        "left": [child for nodes, root in shifted for child in _children(nodes, "left", root)],
        "right": [child for nodes, root in shifted for child in _children(nodes, "right", root)],
        "value": rounded(np.array(_nodes(trees, "value"))),
    }


def rounded(values: FloatArray | float) -> Any:
    """To 12 significant digits: a list for an array, a float for a float."""
    if isinstance(values, np.ndarray):
        return [float(f"{value:.{_DIGITS}g}") for value in values]
    return float(f"{values:.{_DIGITS}g}")


def _nodes(trees: Sequence[npt.NDArray[Any]], name: str, leaf: float | None = None) -> list[Any]:
    nodes = np.concatenate(trees)
    values = nodes[name] if leaf is None else np.where(nodes["is_leaf"] == 1, leaf, nodes[name])
    return list((values.astype(np.int64) if name == "feature_idx" else values).tolist())


def _children(nodes: npt.NDArray[Any], side: str, root: int) -> list[int]:
    return [
        -1 if leaf else int(root) + int(child)
        for child, leaf in zip(nodes[side], nodes["is_leaf"], strict=True)
    ]
