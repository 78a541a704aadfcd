"""A meter that teaches: what is in force never saw the interval it shares out, and outlives the process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ebpf.counters import FIELDS
from estimator.calibration.calibration import Calibration
from estimator.calibration.place import Fit
from estimator.energy import SourceInfo, Usage, ZoneEnergy
from exporter.tick.calibrated import CalibratedEnergy, CalibrationFile

IDLE_WATTS, JOULES_PER_CPU_SECOND = 20.0, 12.0


class Node:
    """A zone whose power is known: idle plus so much a CPU second."""

    info = SourceInfo("rapl")

    def infos(self) -> dict[str, SourceInfo]:
        return {"package": self.info}

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        joules = IDLE_WATTS * usage.interval_seconds + JOULES_PER_CPU_SECOND * usage.cpu_seconds
        return [ZoneEnergy("package", 0, "zone0", joules, usage.interval_seconds, None, joules, joules)]

    def errors(self) -> dict[str, int]:
        return {"read": 0}


def usage(busy: float, seconds: float = 5.0, n_cpu: int = 4) -> Usage:
    used = np.zeros((1, 1, len(FIELDS)))
    used[0, 0, 0] = busy * n_cpu * seconds * 1e9
    return Usage(
        cgroup_id=np.array([1], np.uint64),
        tgid=np.zeros(1, np.uint32),
        used=used,
        dropped=np.zeros((1, len(FIELDS))),
        available=frozenset({"cpu_ns", "switches"}),
        interval_seconds=seconds,
        n_cpu=n_cpu,
    )


def calibrated(file: CalibrationFile, restored: dict | None = None) -> CalibratedEnergy:
    return CalibratedEnergy(Node(), Calibration({0: 0}, {}, restored or {}), {}, file)


def learn(energy: CalibratedEnergy, ticks: int = 120) -> list[ZoneEnergy]:
    loads = np.random.default_rng(1).uniform(0.05, 0.95, ticks)
    for load in loads:
        last = energy.measure(usage(float(load)))
    return last


def test_idle_power_is_learned_and_filled_in() -> None:
    energy = calibrated(CalibrationFile(None, "here"))
    first = energy.measure(usage(0.5))
    assert first[0].idle_watts is None
    last = learn(energy)
    assert last[0].idle_watts == pytest.approx(IDLE_WATTS, rel=0.05)
    assert energy.coefficients()["package"]["cpu_seconds"] > 0


def test_an_interval_is_shared_out_by_what_was_in_force_before_it() -> None:
    energy = calibrated(CalibrationFile(None, "here"))
    learn(energy, 40)
    in_force = energy._calibration.coefficients()
    energy.measure(usage(0.9))
    assert energy.coefficients() == in_force


def test_what_was_learned_outlives_the_process(tmp_path: Path) -> None:
    from estimator.calibration.state import load_state

    path = tmp_path / "state" / "calibration.json"
    path.parent.mkdir()
    energy = calibrated(CalibrationFile(path, "here"))
    learn(energy)
    energy.save()
    assert json.loads(path.read_text())
    again = calibrated(CalibrationFile(path, "here"), load_state(path, "here"))
    assert again.measure(usage(0.5))[0].idle_watts == pytest.approx(IDLE_WATTS, rel=0.05)


def test_a_disk_that_fails_costs_the_file_and_not_the_tick(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    energy = calibrated(
        CalibrationFile(tmp_path / "no" / "such" / "folder" / "c.json", "here", clock=iter_clock())
    )
    learn(energy)
    energy.save()
    assert "the calibration is not saved" in caplog.text


def iter_clock() -> object:
    now = iter(range(0, 10**9, 400))
    return lambda: float(next(now))


def test_another_model_file_is_the_prior_until_something_was_learned() -> None:
    priors = [{"package": Fit(watts, {"cpu_seconds": watts})} for watts in (5.0, 9.0)]
    calibration = Calibration({0: 0}, priors[0])
    energy = CalibratedEnergy(Node(), calibration, {}, CalibrationFile(None, "here"))
    assert energy.measure(usage(0.5))[0].idle_watts == 5.0
    calibration.replace_priors(priors[1])
    assert energy.measure(usage(0.5))[0].idle_watts == 9.0
    assert energy.coefficients()["package"]["cpu_seconds"] == pytest.approx(9.0)
    assert calibration.status()[0].promotions == 0
    learn(energy)
    learned = calibration.coefficients()
    calibration.replace_priors(priors[0])
    assert calibration.coefficients() == learned
