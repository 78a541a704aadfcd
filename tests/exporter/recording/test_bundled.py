"""The bundled recording is what its command makes, and its meter is one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from exporter.recording.files import list_pieces
from tests.exporter.recording.bundled import FOLDER, MINUTES, TRUTH, write
from tests.exporter.recording.shop import IDLE_WATTS, INTERVAL_SECONDS, METER_NOISE, N_CPU

COUNTS = ["cpu_seconds", "cycles", "instructions", "cache_misses"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundled")
    write(folder / "recording", folder / TRUTH)
    return folder / "recording"


def table(folder: Path, name: str) -> pd.DataFrame:
    (path,) = folder.glob(f"{name}-*.parquet")
    return pd.read_parquet(path)


@pytest.mark.parametrize("name", ["samples", "workloads", "zones"])
def test_what_ran_and_what_was_measured_is_as_made_anew(made: Path, name: str) -> None:
    """What was learned from it, the idle power, may move with the calibration."""
    bundled, anew = table(FOLDER, name), table(made, name)
    alike = [column for column in bundled if column not in ("context", "idle_watts") and column in anew]
    assert set(alike) >= {"timestamp_seconds", "node"}
    pd.testing.assert_frame_equal(bundled[alike], anew[alike])


def test_the_truth_is_as_made_anew(made: Path) -> None:
    assert FOLDER.with_name(TRUTH).read_bytes() == made.with_name(TRUTH).read_bytes()


def test_nothing_else_is_in_it() -> None:
    assert not list_pieces(FOLDER).strange
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 200_000


def test_its_meter_shows_what_was_drawn_in_every_single_interval() -> None:
    samples, truth = table(FOLDER, "samples"), pd.read_csv(FOLDER.with_name(TRUTH))
    assert len(samples) == MINUTES * 60 / INTERVAL_SECONDS
    for zone, watts in IDLE_WATTS.items():
        joules = samples[f"{zone}_joules"]
        drawn = truth[f"{zone}_joules"].sum() + watts * MINUTES * 60
        assert joules.sum() == pytest.approx(drawn, rel=METER_NOISE / 5)
        assert joules.min() > 0.95 * watts * INTERVAL_SECONDS
    assert samples["cpu_seconds"].max() <= N_CPU * INTERVAL_SECONDS
    assert samples[COUNTS].notna().all(axis=None)


def test_the_idle_power_that_was_learned_is_the_true_one() -> None:
    by_zone = table(FOLDER, "zones").groupby("zone")["idle_watts"]
    for zone, watts in by_zone:
        assert watts.to_numpy() == pytest.approx(IDLE_WATTS[str(zone)], rel=0.05)


def test_only_the_shop_is_in_it() -> None:
    workloads = table(FOLDER, "workloads")
    assert set(workloads["pod_namespace"].dropna()) == {"shop", "analytics", "research", "monitoring"}
    elsewhere = workloads.loc[workloads["pod_uid"].isna(), "cgroup"].dropna()
    units = {"/system.slice/kubelet.service", "/system.slice/containerd.service"}
    assert set(elsewhere) == {"[kernel]", *units}
