"""A model file that may change while we run: the last good one stays in force until a better one is whole."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from estimator.energy import EnergySource, SourceInfo, Usage, ZoneEnergy
from estimator.errors import ModelInvalid, ModelUnavailable
from estimator.features import Coefficients
from estimator.model.file import load_model
from estimator.model.modelled import ModelledEnergy
from estimator.model.power_model import PowerModel
from exporter.configuration.file_signature import Signature, signature_of

log = logging.getLogger("exporter.model")

# The largest ensembles of trees come to a few megabytes; reading more would hold up the tick.
MAX_BYTES = 64 * 1024 * 1024
_MAX_NAMED = 1_000


class ModelWatch:
    """The model of one file. path: of `--model`; model: what was read at the start; made: this machine's.


    Looking costs one stat. A file that is replaced, rewritten or touched is read again; one that must not be
    used is counted in `refused` each time it is read, and logged once for each content.
    """

    def __init__(
        self, path: Path, model: PowerModel, made: Callable[[PowerModel], PowerModel] = lambda model: model
    ) -> None:
        self.model = model
        self._made = made
        self._path = path
        self._seen: Signature | None = None
        self._refused = 0
        self._named: set[str] = set()

    @property
    def refused(self) -> Mapping[str, int]:
        """How often the file was read and not taken over, by its name."""
        return {str(self._path): self._refused}

    def check(self) -> bool:
        """Look at the file; True where another model is in force from now on. Never raises."""
        try:
            status = os.stat(self._path)  # noqa: PTH116  half of what Path.stat costs, every tick
            if signature_of(status) == self._seen:
                return False
            return self._take_over(_load(self._path, status), status)
        except (OSError, ModelUnavailable) as error:  # not marked as seen: looked at again in the next tick
            self._name(str(error), error)
        except ModelInvalid as error:
            self._refuse(status, error)
        return False

    def _take_over(self, model: PowerModel, status: os.stat_result) -> bool:
        self._seen = signature_of(status)
        before, self.model = self.model, self._made(model)
        if model.sha256 == before.sha256:
            return False
        log.info("model %s from %s is in force, in place of %s", model.name, self._path, before.name)
        return True

    def _refuse(self, status: os.stat_result, error: ModelInvalid) -> None:
        self._seen = signature_of(status)
        self._refused += 1
        self._name(_digest(self._path, status), error)

    def _name(self, what: str, error: Exception) -> None:
        """Log once for each kind of trouble; what: the content's hash, or the message where there is none."""
        if what in self._named:
            return
        if len(self._named) >= _MAX_NAMED:
            self._named.clear()
        self._named.add(what)
        log.error("model %s stays in force: %s", self.model.name, error)


class ModelInForce(Protocol):
    """A model that another may take the place of."""

    model: PowerModel

    def check(self) -> bool:
        """True where another model is in force from now on. Never raises."""


class FollowedEnergy:
    """An EnergySource whose model may become another: what it serves changes between two ticks, never within.

    meter: whose energy is shared out by the model's weights; without one the model is the energy, too.
    """

    def __init__(self, watch: ModelInForce, meter: EnergySource | None = None) -> None:
        self._watch = watch
        self._meter = meter
        self._retired: Counter[str] = Counter()
        self._modelled = ModelledEnergy(watch.model)

    @property
    def info(self) -> SourceInfo:
        """Of the meter, or of the model in force."""
        return self._source.info

    def infos(self) -> Mapping[str, SourceInfo]:
        """See EnergySource."""
        return self._source.infos()

    @property
    def _source(self) -> EnergySource:
        return self._meter or self._modelled

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        """Take over the model that is in force by now, then the energy since the last call."""
        if self._watch.check():
            self._retired.update(self._modelled.errors())
            self._modelled = ModelledEnergy(self._watch.model)
        return self._source.measure(usage)

    def errors(self) -> Mapping[str, int]:
        """Cumulative counts over every model that was in force."""
        if self._meter:
            return self._meter.errors()
        return {kind: n + self._retired[kind] for kind, n in self._modelled.errors().items()}

    def coefficients(self) -> Coefficients:
        """Those of the model in force."""
        return self._modelled.coefficients()


class CurrentCoefficients(Mapping[str, Mapping[str, float]]):
    """Coefficients by zone that are asked for anew each time, since what is in force changes."""

    def __init__(self, current: Callable[[], Coefficients]) -> None:
        self._current = current

    def __getitem__(self, zone: str) -> Mapping[str, float]:
        return self._current()[zone]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())


def _load(path: Path, status: os.stat_result) -> PowerModel:
    """Raises ModelInvalid also for what cannot be a model by its kind or size: it is not read at all."""
    if not _is_readable(status):
        found = f"{status.st_size} bytes" if stat.S_ISREG(status.st_mode) else "something that is no file"
        raise ModelInvalid(
            f"model {path}: field (document): wanted a file of at most {MAX_BYTES} bytes, found {found};"
            " put a model file there"
        )
    return load_model(path)


def _is_readable(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES


def _digest(path: Path, status: os.stat_result) -> str:
    if not _is_readable(status):
        return str(signature_of(status))
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return str(error)
