"""The last release, upgraded under load: its pins, its state and its configuration are taken over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.pins import layouts, remove_pins
from tests.e2e.servers import ROOT, Plant, Podjoule
from tests.live import loads
from tests.live.last_release import release_build, run_release
from tests.live.sandbox import BUSY, cgroup, stop
from tests.live.test_continuity import (
    WATTS,
    Watch,
    container,
    counters_on,
    end,
    joules_of,
    ping_pong,
    rapl,
    seconds_of,
    value_of,
)

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

UP_SECONDS, DOWN_SECONDS = 3.0, 1.5


class Versions:
    """One exporter after another by one configuration, which the release has written."""

    def __init__(self, folder: Path, pin: Path) -> None:
        self.folder, self.release = folder, release_build(folder)
        self.configuration = folder / "podjoule.yaml"
        flags = (
            "--monitor.interval=500ms",
            "--kube.enabled=false",
            "--model.calibration=off",
            "--metrics.level=node,container,pod,vm,process",
            f"--host.sysfs={folder}/sys",
            f"--state.dir={folder}/state",
            f"--ebpf.pin={pin}",
        )
        command = ("-m", "exporter.commands.cli", "config", "check", *flags)
        self.configuration.write_text(run_release(self.release, *command))

    def start(self, code: Path) -> Podjoule:
        environment = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(code)}
        log = self.folder / f"{code.name}.log"
        return Podjoule(f"--config.file={self.configuration}", log=log, environment=environment).__enter__()


@pytest.fixture
def pin(bpffs: Path) -> Iterator[Path]:
    yield bpffs / "podjoule"
    remove_pins(bpffs / "podjoule")


def test_an_upgrade_under_load_loses_nothing(tmp_path: Path, pin: Path) -> None:
    tree, versions = rapl(tmp_path), Versions(tmp_path, pin)
    with cgroup("upgrade") as parent, Watch() as watch:
        groups = [container(parent, number) for number in (1, 2, 3, 4)]
        first, second, ping, pong = groups
        process = versions.start(versions.release)
        watch.url = process.url
        started_uj, began = tree.energy_uj("intel-rapl:0"), time.monotonic()
        with Plant(tree, {"intel-rapl:0": WATTS}):
            running = [first.python(BUSY, cpu=0), second.python(loads.STEADY, "0.2", cpu=1)]
            running.append(ping_pong(ping, pong))
            time.sleep(UP_SECONDS)
            before, pinned = process.metrics(), layouts(pin)
            end(process, signal.SIGKILL)
            time.sleep(DOWN_SECONDS)
            process = versions.start(ROOT)
            watch.url = process.url
            time.sleep(UP_SECONDS)
            stop(*running)
        seconds = time.monotonic() - began
        drawn = (tree.energy_uj("intel-rapl:0") - started_uj) / 1e6
        time.sleep(1.5)
        page = process.metrics()
        watch.look(page)
        used = [group.used_ns("v2") / 1e9 for group in groups]
        process.stop()
    assert layouts(pin) == pinned, "it goes on counting in the release's maps"
    assert watch.fallen == []
    gone = counters_on(before).keys() - counters_on(page).keys()
    assert not [series for series in gone if 'state="terminated"' not in series]
    per_second = drawn / seconds / (os.cpu_count() or 1)
    assert value_of(page, "kepler_node_cpu_joules_total") == pytest.approx(drawn, rel=0.005)
    for group, true_seconds in zip(groups, used, strict=True):
        told, joules = seconds_of(page, group), joules_of(page, group)
        print(f"{group.path[-2:]}: {told:.4f} of {true_seconds:.4f} s, {joules:.3f} J")
        assert 0 < joules_of(before, group) < joules
        assert told == pytest.approx(true_seconds, rel=0.005, abs=5e-3)
        # Of a few seconds those count in which the loads began and both CPUs were not busy yet.
        assert joules == pytest.approx(per_second * true_seconds, rel=0.03)
    assert value_of(page, r'podjoule_downtime_seconds_total{.*counted="true"') > DOWN_SECONDS
    assert value_of(page, r'podjoule_downtime_seconds_total{.*counted="false"') == 0
    log = (tmp_path / f"{ROOT.name}.log").read_text()
    assert "without podjoule: nothing is lost" in log
    assert " error " not in log
    assert not list((tmp_path / "state").glob("*.refused"))
