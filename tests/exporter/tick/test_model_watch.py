"""A model file that is replaced while we run: taken over when it is good, refused by name when it is not."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from estimator.energy import SourceInfo
from estimator.meters.fake import FakeMeter
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import ZoneReading
from estimator.model.file import load_model, render_model
from exporter.tick import model_watch
from exporter.tick.model_watch import CurrentCoefficients, FollowedEnergy, ModelWatch
from exporter.tick.power import Power
from tests.e2e.servers import ROOT, free_port, get, wait_for
from tests.estimator.usages import ANY_USAGE
from tests.exporter.nodes import TOP_UJ, Node, Samples, container, of
from tests.exporter.tick.test_power import LINEAR

REFUSED = "podjoule_model_refused_total"


def model_text(name: str, idle_watts: float, joules_per_second: float = 8.0) -> str:
    """A linear model on CPU time."""
    zone = {
        "kind": "linear",
        "idle_watts": idle_watts,
        "coefficients": {"cpu_seconds": joules_per_second},
        "interval": {"coverage": 0.9, "watts": 1.0},
    }
    return render_model(
        {**LINEAR, "name": name, "features": {"cpu_seconds": "s"}, "zones": {"package": zone}}
    )


def replace_file(path: Path, text: str) -> None:
    """By rename, as it should be done."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.json"
    path.write_text(model_text("first", 10.0))
    return path


@pytest.fixture
def watch(file: Path) -> ModelWatch:
    return ModelWatch(file, load_model(file))


# The watch


def test_a_file_that_stays_is_not_read_again(watch: ModelWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.check()
    monkeypatch.setattr(model_watch, "load_model", lambda path: pytest.fail("read"))
    assert not watch.check()


def test_a_new_file_is_taken_over_once(
    watch: ModelWatch, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    replace_file(file, model_text("second", 20.0))
    assert watch.check()
    assert not watch.check()
    assert watch.model.name == "second"
    assert f"model second from {file} is in force, in place of first" in caplog.text


def test_a_touched_file_is_the_same_model(watch: ModelWatch, file: Path) -> None:
    watch.check()
    os.utime(file, (1, 1))
    assert not watch.check()
    assert watch.refused == {str(file): 0}


def test_a_file_that_changed_between_the_start_and_the_first_tick_is_seen(
    watch: ModelWatch, file: Path
) -> None:
    replace_file(file, model_text("second", 20.0))
    assert watch.check()


BAD = {
    "torn": model_text("second", 20.0)[:200],
    "empty": "",
    "another hash": model_text("second", 20.0).replace("20.0", "21.0"),
    "negative": model_text("second", 20.0).replace('"cpu_seconds": 8.0', '"cpu_seconds": -8.0'),
    "unknown schema": json.dumps({"schema": "podjoule.model/9"}),
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_counted_and_named(
    watch: ModelWatch, file: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    watch.check()
    replace_file(file, text)
    assert not watch.check()
    assert not watch.check()
    assert watch.model.name == "first"
    assert watch.refused == {str(file): 1}
    (record,) = caplog.records
    assert f"model first stays in force: model {file}: field " in record.getMessage()


def test_the_same_bad_content_is_named_once_and_counted_each_time(
    watch: ModelWatch, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("bad", "worse", "bad", "worse"):
        replace_file(file, text)
        watch.check()
    assert watch.refused == {str(file): 4}
    assert len(caplog.records) == 2


def test_a_file_written_in_place_is_taken_over_when_it_is_complete(watch: ModelWatch, file: Path) -> None:
    text = model_text("second", 20.0)
    for end in (50, 300, len(text) - 3):
        file.write_text(text[:end])
        assert not watch.check()
    file.write_text(text)
    assert watch.check()


def test_a_file_that_is_gone_changes_nothing(
    watch: ModelWatch, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch.check()
    file.unlink()
    assert not watch.check()
    assert not watch.check()
    assert len(caplog.records) == 1
    assert watch.refused == {str(file): 0}
    replace_file(file, model_text("second", 20.0))
    assert watch.check()


def test_what_is_no_file_or_too_large_is_not_read(
    watch: ModelWatch, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with file.open("wb") as large:
        large.truncate(model_watch.MAX_BYTES + 1)
    assert not watch.check()
    file.unlink()
    os.mkfifo(file)
    assert not watch.check()
    assert watch.refused == {str(file): 2}
    assert "found 67108865 bytes" in caplog.text
    assert "found something that is no file" in caplog.text


def test_the_memory_of_what_was_named_is_bounded(watch: ModelWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_watch, "_MAX_NAMED", 3)
    for i in range(10):
        watch._name(str(i), ValueError())
        assert len(watch._named) <= 3


# In a measurement


class Followed:
    """A node whose model follows its file, with a meter or without."""

    def __init__(self, file: Path, *, metered: bool) -> None:
        self.node = Node()
        self.file = file
        self.watch = ModelWatch(file, load_model(file))
        meter = MeteredEnergy(FakeMeter(iter(self._readings, None))) if metered else None
        energy = FollowedEnergy(self.watch, meter)
        self.node.measurement.power = Power(
            energy, CurrentCoefficients(energy.coefficients), lambda: None, lambda: self.watch.refused
        )
        self.node.source.add(container(1))
        self.node.source.add(container(2))
        self.node.tick()

    def _readings(self) -> list[ZoneReading]:
        now = self.node.source.monotonic_ns
        return [ZoneReading("package", 0, "p0", now // 1000 * 30 % TOP_UJ, TOP_UJ, now)]

    def work(self) -> Samples:
        self.node.source.use(container(1), 2.0, cycles=10**9)
        self.node.source.use(container(2), 1.0, cycles=9 * 10**9)
        return self.node.tick()


def assert_never_down(pages: list[Samples]) -> None:
    for before, after in pairwise(pages):
        for key, value in before.items():
            if key[0].endswith("_total"):
                assert after[key] >= value, key


def test_without_a_meter_energy_idle_power_and_info_change_at_the_tick(file: Path) -> None:
    plant = Followed(file, metered=False)
    pages = [plant.work()]
    replace_file(file, model_text("second", 20.0, 4.0))
    pages.append(plant.work())
    replace_file(file, "no model")
    pages.append(plant.work())
    first, second, third = pages
    assert of(first, "kepler_node_cpu_idle_watts") == pytest.approx(10.0)
    assert of(first, "kepler_node_cpu_joules_total") == pytest.approx(10 * 5 + 8 * 3)
    assert of(second, "kepler_node_cpu_idle_watts") == pytest.approx(20.0)
    assert of(second, "kepler_node_cpu_joules_total") == pytest.approx(74 + 20 * 5 + 4 * 3)
    assert of(first, "podjoule_power_source_info", model="first") == 1
    assert of(second, "podjoule_power_source_info", model="second") == 1
    assert of(second, "podjoule_power_source_info", model="first") == 0
    assert of(third, "kepler_node_cpu_joules_total") == pytest.approx(74 + 112 + 112)
    assert of(second, REFUSED, file=str(file)) == 0
    assert of(third, REFUSED, file=str(file)) == 1
    assert_never_down(pages)
    containers = of(third, "kepler_container_cpu_joules_total")
    assert containers == pytest.approx(of(third, "kepler_node_cpu_active_joules_total"), rel=1e-9)


def test_with_a_meter_the_weights_change_and_the_energy_does_not(file: Path) -> None:
    plant = Followed(file, metered=True)
    pages = [plant.work()]
    text = model_text("second", 0.0).replace("cpu_seconds", "cycles")
    body = {key: value for key, value in json.loads(text).items() if key not in ("schema", "sha256")}
    replace_file(file, render_model(body))
    pages.append(plant.work())

    def share(page: Samples, before: float = 0.0) -> float:
        return of(page, "kepler_container_cpu_joules_total", container_id=f"{1:064x}") - before

    active = of(pages[0], "kepler_node_cpu_active_joules_total")
    assert share(pages[0]) == pytest.approx(active * 2 / 3)
    assert share(pages[1], share(pages[0])) == pytest.approx(active / 10)
    assert of(pages[1], "kepler_node_cpu_joules_total") == pytest.approx(2 * 150.0)
    assert_never_down(pages)


def test_what_models_counted_outlives_them(file: Path) -> None:
    watch = ModelWatch(file, load_model(file))
    energy = FollowedEnergy(watch)
    missing = model_text("second", 1.0).replace("cpu_seconds", "frequency")
    body = {key: value for key, value in json.loads(missing).items() if key not in ("schema", "sha256")}
    for text in (render_model(body), model_text("third", 1.0), render_model(body)):
        replace_file(file, text)
        energy.measure(ANY_USAGE)
    assert energy.errors()["missing_feature"] == 2
    assert energy.info == SourceInfo("model", "second", watch.model.sha256)


def test_current_coefficients_are_a_mapping_of_the_moment() -> None:
    now = {"package": {"cycles": 1.0}}
    current = CurrentCoefficients(lambda: now)
    assert dict(current) == now
    now["dram"] = {"cache_misses": 2.0}
    assert len(current) == 2
    assert current.get("dram") == {"cache_misses": 2.0}
    assert current.get("psys") is None


# The command


@pytest.fixture
def url(file: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str], Path]]:
    address = f"127.0.0.1:{free_port()}"
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "exporter.commands.cli",
                "run",
                "--ebpf.loader=none",
                f"--model={file}",
                f"--host.sysfs={tmp_path}",
                f"--web.listen-address={address}",
                "--monitor.interval=30s",
            ],
            cwd=ROOT,
            stderr=stderr,
            text=True,
        )
    try:
        wait_for(f"http://{address}/-/ready")
        yield f"http://{address}/metrics", process, log
    finally:
        process.kill()
        process.wait()


def scrape(url: str) -> Samples:
    from tests.exporter.nodes import parse

    return parse(get(url)[1])


def after_hangup(url: str, process: subprocess.Popen[str]) -> Samples:
    """SIGHUP ticks at once, however long the interval."""
    ticks = of(scrape(url), "podjoule_ticks_total")
    process.send_signal(signal.SIGHUP)
    for _ in range(100):
        page = scrape(url)
        if of(page, "podjoule_ticks_total") > ticks:
            return page
        time.sleep(0.05)
    raise AssertionError("no tick after SIGHUP")


def test_run_takes_over_a_model_at_sighup_and_refuses_a_bad_one(
    url: tuple[str, subprocess.Popen[str], Path], file: Path
) -> None:
    address, process, log = url
    pages = [after_hangup(address, process)]
    replace_file(file, model_text("second", 20.0))
    pages.append(after_hangup(address, process))
    replace_file(file, "no model")
    pages.append(after_hangup(address, process))
    pages.append(after_hangup(address, process))
    names = [
        {dict(labels)["model"] for name, labels in page if name == "podjoule_power_source_info"}
        for page in pages
    ]
    assert names == [{"first"}, {"second"}, {"second"}, {"second"}]
    assert [of(page, REFUSED, file=str(file)) for page in pages] == [0, 0, 1, 1]
    steady = [{k: v for k, v in page.items() if not k[0].startswith("process_")} for page in pages]
    assert_never_down([{k: v for k, v in page.items() if k in steady[-1]} for page in steady])
    assert len(re.findall("stays in force", log.read_text())) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
