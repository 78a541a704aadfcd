"""A model out of a quarter of an hour in a real Prometheus, whole-node counters among its features."""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("prometheus_api_client", reason="pip install podjoule[train]")

import podjoule
from exporter.commands.cli import main
from tests.e2e.servers import Prometheus
from tests.exporter.nodes import Node, container, in_pod
from tests.programs import program

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.alone,
    # dateparser, of prometheus-api-client, at its import
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

IDLE, BUSY = 20.0, 15.0
STEP, TICKS = 5, 180  # 15 minutes


def open_metrics(start: int) -> Iterator[str]:
    """What a node's page said tick by tick: CPUs that come and go, and a meter within 2 %."""
    random, node = np.random.default_rng(2), Node()
    for path in (container(1), in_pod(2), "/system.slice/ssh.service"):
        node.source.add(path)
    lines = defaultdict[str, list[str]](list)
    for tick in range(TICKS):
        load = float(np.clip(0.5 + 0.55 * np.sin(tick / 7) + random.normal(0, 0.05), 0, 1))
        for share, path in ((0.6, container(1)), (0.3, in_pod(2)), (0.1, "/system.slice/ssh.service")):
            seconds = share * load * 2 * STEP
            cycles = seconds * 3e9 * random.uniform(0.9, 1.1)
            node.source.use(
                path, seconds, cycles=round(cycles), instructions=round(cycles * random.uniform(1, 2))
            )
        node.draw((IDLE + BUSY * 2 * load) * (1 + random.normal(0, 0.02)) * STEP)
        for (name, labels), value in node.tick(STEP).items():
            if name.startswith(("podjoule_node", "podjoule_ticks", "podjoule_power_source", "kepler_")):
                told = ",".join(f'{key}="{text}"' for key, text in labels)
                lines[name].append(f"{name}{{{told}}} {value} {start + tick * STEP}\n")
    for name, of_it in lines.items():
        yield f"# TYPE {name.removesuffix('_total')} {'counter' if name.endswith('_total') else 'gauge'}\n"
        yield from sorted(of_it, key=lambda line: (line.partition("}")[0], int(line.rpartition(" ")[2])))
    cpus = "".join(
        f'kepler_node_cpu_info{{node_name="n1",processor="{cpu}"}} 1 {start + tick * STEP}\n'
        for cpu in range(2)
        for tick in range(TICKS)
    )
    yield f"# TYPE kepler_node_cpu_info gauge\n{cpus}# EOF\n"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, int]]:
    folder = tmp_path_factory.mktemp("filled")
    start = int(time.time()) // STEP * STEP - TICKS * STEP
    (folder / "samples").write_text("".join(open_metrics(start)))
    made = subprocess.run(
        [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "samples", "data"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    with Prometheus(folder, ()) as server:
        yield server, start


def test_a_quarter_of_an_hour_gives_the_coefficients(filled: tuple[Prometheus, int]) -> None:
    server, start = filled
    samples = podjoule.read_samples(server.url, range=(start, start + TICKS * STEP))
    assert len(samples) > 0.95 * TICKS
    model = podjoule.PowerModel(features="cpu_seconds", kind="linear").fit(samples)
    found = model.coefficients_["value"]
    assert found["package", "idle"] == pytest.approx(IDLE, rel=0.07)
    assert found["package", "cpu_seconds"] == pytest.approx(BUSY, rel=0.07)


def test_counters_come_as_features_of_the_whole_node(filled: tuple[Prometheus, int]) -> None:
    server, start = filled
    samples = podjoule.read_samples(server.url, range=(start, start + TICKS * STEP))
    assert samples["cycles"].sum() == pytest.approx(3e9 * samples["cpu_seconds"].sum(), rel=0.02)
    model = podjoule.PowerModel(kind="linear").fit(samples)
    assert model.features_in_use_[0] == "cycles"
    assert model.score(samples) > 0.95


def test_a_range_that_cannot_hold_enough_is_refused_before_it_is_read(
    filled: tuple[Prometheus, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, _ = filled
    command = ["train", "--input", server.url, "--output", str(tmp_path / "m.json")]
    assert main([*command, "--range", "5m"]) == 2
    said = capsys.readouterr().err
    assert "--range: it spans 60 scrapes of 5 s at most, and 100 rows are needed; give 10m or more" in said
    assert main([*command, "--range", "16m", "--kind", "linear"]) == 0
