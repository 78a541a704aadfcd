"""A meter whose readings teach what idling and each counter cost, as an energy source."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ebpf.state_log import StateLog
from estimator.calibration.calibration import Calibration
from estimator.calibration.place import priors_of
from estimator.calibration.state import save_state
from estimator.energy import EnergySource, SourceInfo, Usage, ZoneEnergy
from estimator.features import Coefficients
from exporter.tick.model_watch import ModelWatch

log = logging.getLogger("exporter.calibration")

_SAVE_SECONDS = 300.0


class CalibrationFile:
    """Where the last good fit outlives the process; no path: nowhere. machine: on which it holds."""

    def __init__(self, path: Path | None, machine: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._machine, self._clock = path, machine, clock
        self._next_save = clock() + _SAVE_SECONDS

    def save_sometimes(self, calibration: Calibration) -> None:
        """Save every few minutes: what a kill can lose is learned again in as long."""
        if self._clock() >= self._next_save:
            self._next_save = self._clock() + _SAVE_SECONDS
            self.save(calibration)

    def save(self, calibration: Calibration) -> None:
        """Save now, if there is anything to save; a disk that fails costs the file, not the tick."""
        fits = calibration.fits()
        if self._path is None or not fits:
            return
        try:
            save_state(self._path, fits, self._machine)
        except OSError as error:
            log.warning("the calibration is not saved: %s: %s", self._path, error.strerror or error)


class CalibratedEnergy:
    """The meter's energy with the idle power that was learned from it, and the weights learned beside.

    An interval is shared out by what was in force before it, and is learned from only then. given: weights
    for zones where nothing was learned. watch: of the model file that is the prior, if there is one.
    """

    def __init__(
        self,
        meter: EnergySource,
        calibration: Calibration,
        given: Coefficients,
        file: CalibrationFile,
        watch: ModelWatch | None = None,
    ) -> None:
        self._meter, self._calibration, self._given, self._file = meter, calibration, given, file
        self._watch = watch
        self._prior = watch.model if watch else None
        self._coefficients: Coefficients = dict(given)
        self._failed_to_learn = 0
        self._learning = StateLog(log, "nothing is learned from the meter", "learning again")

    @property
    def info(self) -> SourceInfo:
        """The meter's."""
        return self._meter.info

    def infos(self) -> Mapping[str, SourceInfo]:
        """The meter's."""
        return self._meter.infos()

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        """See EnergySource; idle_watts where it is established."""
        told = self._meter.measure(usage)
        infos = self._meter.infos()
        measured = [energy for energy in told if _teaches(energy.zone, infos)]
        self._follow(usage.n_cpu)
        energies = self._calibration.prepare(measured)
        self._coefficients = {**self._given, **self._calibration.coefficients()}
        self._learn(measured, usage)
        return [*energies, *(energy for energy in told if not _teaches(energy.zone, infos))]

    def _learn(self, measured: Sequence[ZoneEnergy], usage: Usage) -> None:
        """What raises here costs the learning and nothing else: the energy is measured already."""
        try:
            self._calibration.learn(measured, usage)
            self._file.save_sometimes(self._calibration)
            self._learning.enter("")
        except Exception as error:
            self._failed_to_learn += 1
            self._learning.enter(f"{type(error).__name__}: {error}")
            log.debug("nothing is learned", exc_info=True)

    def _follow(self, n_cpu: int) -> None:
        """Take another model file for the prior, once the meter's own look at it has found one."""
        if self._watch and self._watch.model is not self._prior:
            self._prior = self._watch.model
            self._calibration.replace_priors(priors_of(self._prior, n_cpu))

    def coefficients(self) -> Coefficients:
        """The weights of the interval that was last measured."""
        return self._coefficients

    def errors(self) -> Mapping[str, int]:
        """The meter's, and the intervals from which nothing was learned because the learning failed."""
        return {**self._meter.errors(), "learn": self._failed_to_learn}

    def save(self) -> None:
        """Keep what is in force; for the end."""
        self._file.save(self._calibration)


def _teaches(zone: str, infos: Mapping[str, SourceInfo]) -> bool:
    """Whether the CPU's counters can learn from its energy: not of a GPU, and nothing from a model."""
    return zone != "gpu" and not (zone in infos and infos[zone].source == "model")
