"""What the last release wrote, by its own code (tests/live/last_release.py), is taken over by this one."""

from __future__ import annotations

import json
import logging
import shutil
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ebpf.program import layout_of
from estimator.calibration.state import load_state
from exporter.configuration.config import load_config, to_plain
from exporter.restarts.continuity import FILE
from tests.ebpf.test_layout import LAYOUT_OPTIONS
from tests.estimator.calibration.test_state import FITS, MACHINE
from tests.exporter.nodes import FIXTURES, Samples, of
from tests.exporter.restarts.test_continuity import OPTIONS, Life, assert_never_down, begun, work

FILES = FIXTURES / "state"
# The programs in the kernel are new ones with each process, and so is what they cost.
ANEW = {"podjoule_bpf_runs_total", "podjoule_bpf_run_seconds_total", "podjoule_ticks_total"}


def shown_last() -> Samples:
    """Every counter on the last page that the release showed."""
    rows = json.loads((FILES / "last_release.json").read_text())
    return {(name, tuple(sorted(labels.items()))): value for name, labels, value in rows}


def taken_over(folder: Path) -> Life:
    """A node whose last exporter was the release's: the kernel and the meter stand where it left them."""
    life = Life(folder, **OPTIONS)
    life.end(begun(life)[0])
    shutil.copyfile(FILES / "last_release.state", life.state / FILE)
    return life


def by_series(samples: Samples) -> Samples:
    return {(name, tuple(sorted(labels))): value for (name, labels), value in samples.items()}


def test_every_counter_stands_where_the_release_left_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = taken_over(tmp_path)
    with caplog.at_level(logging.INFO):
        after = by_series(life.start().tick(1e-6))
    before = shown_last()
    assert len(before) > 60
    assert_never_down(before, after)
    for key, value in before.items():
        if key[0] not in ANEW and ("kind", "still") not in key[1]:
            assert after[key] == pytest.approx(value, abs=1e-5), key
    assert "nothing is lost" in caplog.text
    told = [each for each in caplog.records if each.name == "exporter.continuity"]
    assert [each.levelno for each in told] == [logging.INFO]
    assert sorted(path.name for path in life.state.iterdir()) == [FILE]


def test_what_ran_between_the_two_is_counted(tmp_path: Path) -> None:
    life = taken_over(tmp_path)
    before, node = shown_last(), life.start()
    work(node)
    after = by_series(node.tick(20.0))
    name = "kepler_container_cpu_seconds_total"
    assert of(after, name) == of(before, name) + 2 * 1.0, "two containers, a second each"
    drawn = of(after, "kepler_node_cpu_joules_total") - of(before, "kepler_node_cpu_joules_total")
    assert drawn == pytest.approx(35.0)


def test_what_it_pinned_goes_on_counting() -> None:
    assert layout_of(LAYOUT_OPTIONS, 4, 7) == (FILES / "last_release.layout").read_text().strip()


def test_what_it_learned_is_in_force(tmp_path: Path) -> None:
    path = shutil.copyfile(FILES / "last_release.calibration.json", tmp_path / "calibration.json")
    assert load_state(path, MACHINE) == FITS
    assert path.exists()


def flat(document: Mapping[str, Any], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in document.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def test_every_key_of_its_configuration_is_understood_and_means_the_same() -> None:
    file = FILES / "last_release.yaml"
    then = flat(yaml.safe_load(file.read_text()))
    now = flat(to_plain(load_config(Namespace(), {"PODJOULE_CONFIG_FILE": str(file)})))
    assert len(then) > 60
    assert {key: now.get(key, "is no key any more") for key in then} == then
