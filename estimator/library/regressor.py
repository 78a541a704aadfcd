"""A power model in scikit-learn's manner, which saves and loads podjoule's model files."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from estimator.energy import FloatArray
from estimator.errors import ArgumentInvalid
from estimator.features import PREDICTORS
from estimator.library.inputs import Names, document_of, in_order, is_samples, listed, today, with_watts
from estimator.library.reading import samples_of
from estimator.machine.catalogue import Catalogue
from estimator.machine.description import Size, describe_named
from estimator.model.choice import moved_to
from estimator.model.file import list_models, load_model, load_shipped, parse_model, render_model
from estimator.model.whole_file import write_whole
from estimator.training.conformal import coverage_of
from estimator.training.predictions import predict_joules
from estimator.training.requirements import what_would_help
from estimator.training.samples import Samples, Sizes
from estimator.training.train import UNKNOWN_MACHINE, Recipe, Title, train
from estimator.training.zone_fit import LEAST_ROWS

_ONE = {"cycles": "cycle", "instructions": "instruction", "cache_misses": "cache miss"}


class PowerModel(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Watts of a machine's zones from what its CPUs do.

    zones: which to predict, such as "package" or ("package", "dram"); None for all that are measured.
    features: columns to predict from; None for the counters where cycles are measured, else CPU time.
    kind: "linear", "trees", or "auto", the one that is clearly better on blocks of time held out.
    machine: what is known of the machine the samples are of: vendor, family, model, microarchitecture, cpu
    (its name), cores, sockets, tdp_watts. n_cpu: logical CPUs, where X has no such column. least_rows: fewer
    are refused. name: what the model file calls itself; None for the name of the file.

    X is a samples table (docs/samples.md), and y is read from it; or X holds features per second of the whole
    machine, one column each, and y watts, one column a zone.

    Learned: zones_; features_in_use_; coefficients_; scores_, on blocks of time held out; model_, what the
    exporter reads; content_, what the file holds; advice_, what more samples would help.
    """

    def __init__(
        self,
        zones: Names = ("package",),
        features: Names = None,
        kind: str = "auto",
        *,
        machine: Mapping[str, Any] | None = None,
        n_cpu: int = 1,
        least_rows: int = LEAST_ROWS,
        name: str | None = None,
    ) -> None:
        self.zones = zones
        self.features = features
        self.kind = kind
        self.machine = machine
        self.n_cpu = n_cpu
        self.least_rows = least_rows
        self.name = name

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Learn from samples, or from features and watts.

        Raises SamplesInvalid for a table that cannot teach this, ArgumentInvalid for parameters it cannot
        serve. Both are ValueErrors.
        """
        return self.fit_samples(self._samples(X, y))

    def fit_samples(self, samples: Samples) -> Self:
        """The same from a table that has been read and checked."""
        recipe = Recipe(listed(self.zones), listed(self.features), self.kind, self.least_rows)
        title = Title(self.name or "model", today(), {**UNKNOWN_MACHINE, **(self.machine or {})})
        content = train(samples, recipe, title)
        self._take_over(json.loads(render_model(content)))
        self.advice_ = what_would_help(samples, self.features_in_use_)
        return self

    def predict(self, X: Any) -> FloatArray:  # noqa: N803
        """Watts, shape (n,), or (n, n_zones) for several zones; NaN in rows in which a feature is not
        measured."""
        return self._columns(X)[0]

    def predict_interval(self, X: Any) -> tuple[FloatArray, FloatArray]:  # noqa: N803
        """Between which watts the true power lies, with the coverage that coverage_ tells; low and high, each
        shaped as predict has it."""
        _, low, high = self._columns(X)
        return low, high

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: N803
        """R² of the rows that can be predicted, the mean over zones; y: watts, by default the samples'."""
        check_is_fitted(self)
        measured = self._measured(X) if y is None else np.asarray(y, dtype=np.float64)
        predicted = self.predict(X)
        known = np.isfinite(measured.reshape(len(measured), -1)).all(axis=1)
        known &= np.isfinite(predicted.reshape(len(predicted), -1)).all(axis=1)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(r2_score(measured[known], predicted[known], sample_weight=weights))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the model file that `podjoule run --model` reads, whole or not at all. It holds no code."""
        check_is_fitted(self)
        target = Path(fspath(path))
        body = {key: value for key, value in self.content_.items() if key != "sha256"}
        text = render_model({**body, "name": self.name or target.stem or "model"})
        parse_model(str(target), text)
        try:
            write_whole(target, lambda file: file.write(text.encode()))
        except OSError as error:
            raise ArgumentInvalid("path", f"{target} cannot be written: {error.strerror}") from error
        return target

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """A model file, or a shipped model by its name. Raises ModelUnavailable or ModelInvalid."""
        name = fspath(path)
        model = load_shipped(name) if name in list_models() else load_model(Path(name))
        content = document_of(name)
        made = cls(
            tuple(model.zones),
            in_order(model.features),
            machine={key: value for key, value in content["machine"].items() if value is not None} or None,
            n_cpu=max(model.trained_cpus, default=1),
            name=model.name,
        )
        made._take_over(content)
        return made

    def moved_to(self, cpu: str, *, n_cpu: int, sockets: int = 1, memory_gb: float | None = None) -> Self:
        """What `podjoule run --model` makes of this model on another machine, by the name of its CPU.

        It predicts for samples of that machine; move_ says in a line what was changed, "" where nothing was.
        A model that is saved is as it was made: whoever reads it moves it. What is done when stands in
        docs/samples.md.
        """
        check_is_fitted(self)
        size = Size(n_cpu, memory_gb, sockets)
        machine = describe_named(cpu, size, Catalogue(), is_guest=False)
        made = copy.copy(self)
        made.model_, made.move_ = moved_to(self.model_, replace(machine, n_cpu=n_cpu))
        return made

    @property
    def coefficients_(self) -> pd.DataFrame:
        """By zone and term, "idle" first: value, its unit, and the kind of the zone. Of trees, what shares
        energy out; their prediction has no coefficients."""
        check_is_fitted(self)
        size = max(self.model_.trained_cpus, default=self.n_cpu)
        rows = [
            row
            for zone, of in self.model_.zones.items()
            for row in (
                (zone, "idle", of.idle_watts(size), "W"),
                *((zone, name, value, _per(name)) for name, value in of.coefficients().items()),
            )
        ]
        frame = pd.DataFrame(rows, columns=["zone", "term", "value", "unit"]).set_index(["zone", "term"])
        kinds = {zone: of["kind"] for zone, of in self.content_["zones"].items()}
        return frame.assign(kind=[kinds[zone] for zone in frame.index.get_level_values("zone")])

    @property
    def scores_(self) -> pd.DataFrame:
        """By split and zone, how good it is on rows that it was not trained on."""
        check_is_fitted(self)
        scores = self.content_["scores"]
        rows = {(split, zone): dict(of) for split, zones in scores.items() for zone, of in zones.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["split", "zone"])

    @property
    def coverage_(self) -> float:
        """The share of rows like those of the training that the interval is meant to hold."""
        check_is_fitted(self)
        return coverage_of(self.content_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.multi_output = len(listed(self.zones)) > 1
        # A sum of terms that are never negative follows no power that falls while work rises.
        tags.regressor_tags.poor_score = True
        return tags

    def _take_over(self, content: Mapping[str, Any]) -> None:
        self.content_ = dict(content)
        self.model_ = parse_model(f"{content['name']}.json", json.dumps(content))
        self.zones_ = tuple(self.model_.zones)
        self.features_in_use_ = in_order(self.model_.features)
        if not hasattr(self, "feature_names_in_"):
            self.n_features_in_ = len(self.features_in_use_)

    def _samples(self, X: Any, y: Any) -> Samples:  # noqa: N803
        if not is_samples(X):
            return self._from_arrays(X, y)
        self._forget_names()
        return samples_of(X if y is None else with_watts(X, y, listed(self.zones)))

    def _forget_names(self) -> None:
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)

    def _from_arrays(self, X: Any, y: Any) -> Samples:  # noqa: N803
        values, targets = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            y_numeric=True,
            multi_output=len(listed(self.zones)) > 1,
            ensure_min_samples=2,
        )
        if targets.ndim == 1 or targets.shape[1] == 1:
            targets = column_or_1d(targets, warn=True)[:, np.newaxis]
        zones = listed(self.zones)
        if len(zones) != targets.shape[1]:
            raise ArgumentInvalid("y", f"it has {targets.shape[1]} columns, and there are {len(zones)} zones")
        if (values < 0).any():
            raise ArgumentInvalid(
                "X", "Negative values in data passed to PowerModel: no feature can be negative"
            )
        names = self._names()
        frame = self._frame(values, names).assign(
            **{f"{zone}_joules": targets[:, at] for at, zone in enumerate(zones)}
        )
        sizes = {"": Sizes({self.n_cpu: len(frame)}, 0)}
        return Samples(frame, names, zones, {}, "arrays", "", sizes)

    def _names(self) -> tuple[str, ...]:
        """Of the columns of an array."""
        if hasattr(self, "feature_names_in_"):
            return tuple(map(str, self.feature_names_in_))
        told = listed(self.features)
        if told and len(told) == self.n_features_in_:
            return told
        return tuple(f"x{at}" for at in range(self.n_features_in_))

    def _frame(self, values: FloatArray, names: Sequence[str]) -> pd.DataFrame:
        """Features per second as the rows of a table, each of a second."""
        frame = pd.DataFrame(values, columns=list(names))
        return frame.assign(
            timestamp_seconds=np.arange(float(len(frame))),
            node="",
            interval_seconds=1.0,
            n_cpu=float(self.n_cpu),
        )

    def _rows(self, X: Any) -> pd.DataFrame:  # noqa: N803
        check_is_fitted(self)
        if is_samples(X):
            lacking = [name for name in self.features_in_use_ if name not in X]
            if lacking:
                raise ArgumentInvalid("X", f"no column {', '.join(lacking)}; the model predicts from it")
            return X
        values = validate_data(self, X, dtype=np.float64, reset=False)
        return self._frame(values, self._names())

    def _columns(self, X: Any) -> tuple[FloatArray, FloatArray, FloatArray]:  # noqa: N803
        """Predicted, low and high, watts; of shape (n,), or (n, n_zones)."""
        rows = self._rows(X)
        seconds = rows["interval_seconds"].to_numpy(dtype=np.float64)
        known = rows[list(self.features_in_use_)].notna().all(axis=1).to_numpy() & (seconds > 0)
        watts = np.full((3, len(rows), len(self.zones_)), np.nan)
        for at, zone in enumerate(self.zones_):
            joules = predict_joules(self.model_, zone, rows[known])
            watts[:, known, at] = joules.T / seconds[known]
        predicted, low, high = watts[:, :, 0] if len(self.zones_) == 1 else watts
        return predicted, low, high

    def _measured(self, X: Any) -> FloatArray:  # noqa: N803
        """Watts, shaped as predict has them, NaN where they were not measured."""
        lacking = [zone for zone in self.zones_ if not is_samples(X) or f"{zone}_joules" not in X]
        if lacking:
            raise ArgumentInvalid("y", f"no watts given, and X has no column {lacking[0]}_joules")
        joules = X[[f"{zone}_joules" for zone in self.zones_]].to_numpy(dtype=np.float64)
        watts = joules / X["interval_seconds"].to_numpy(dtype=np.float64)[:, np.newaxis]
        return np.asarray(watts[:, 0] if len(self.zones_) == 1 else watts)


def _per(feature: str) -> str:
    unit = PREDICTORS[feature].unit if feature in PREDICTORS else "1"
    counted = _ONE.get(feature, feature) if unit == "1" else unit
    return "W per busy CPU" if feature == "cpu_seconds" else f"J per {counted}"
