"""The last release, upgraded under load: its pins, its state and its configuration are taken over."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.pins import layouts, remove_pins
from tests.e2e.servers import ROOT, Podjoule
from tests.live.last_release import release_build, run_release
from tests.live.pages import Watch, counters_on, joules_of
from tests.live.restarts import UnderLoad, rapl
from tests.live.sandbox import cgroup

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


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
    before = []
    with cgroup("upgrade") as parent, Watch() as watch:
        loaded = UnderLoad(
            parent, watch, tree, lambda number: versions.start((versions.release, ROOT)[number])
        )
        process, outcome = loaded.restart(
            [signal.SIGKILL], 3.0, lambda it: before.append((it.metrics(), layouts(pin)))
        )
        process.stop()
    ((page, pinned),) = before
    assert layouts(pin) == pinned, "it goes on counting in the release's maps"
    assert watch.fallen == []
    gone = counters_on(page).keys() - counters_on(outcome.page).keys()
    assert not [series for series in gone if 'state="terminated"' not in series]
    # Of a few seconds those count in which the loads began and both CPUs were not busy yet.
    outcome.assert_told(joules_within=0.03)
    for group in loaded.groups:
        assert 0 < joules_of(page, group) < joules_of(outcome.page, group)
    log = (tmp_path / f"{ROOT.name}.log").read_text()
    assert "without podjoule: nothing is lost" in log
    assert " error " not in log
    assert not list((tmp_path / "state").glob("*.refused"))
