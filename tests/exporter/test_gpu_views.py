"""A GPU is seen wherever energy is: page, API, `top` and `snapshot`; and it counts for carbon."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.commands.snapshot import describe, table
from exporter.serving.api.routes import Api
from exporter.serving.page.ui_files import UiFiles
from exporter.top.chosen_rows import Choice
from exporter.top.frame import make_frame
from exporter.top.plain import table_text
from tests.exporter.gpu_world import HOARD, IDLE_WATTS, TRAIN, GpuWorld
from tests.exporter.nodes import Node, Samples, container, of, series
from tests.exporter.serving.api.test_api import _strict

TICKS, SECONDS = 3, 5.0
BOOKED = TICKS * SECONDS
ACTIVE_WATTS = 300.0 - IDLE_WATTS


@pytest.fixture
def world() -> GpuWorld:
    return GpuWorld()


@pytest.fixture
def page(world: GpuWorld) -> Samples:
    """After the baseline and three ticks."""
    world.node.tick()
    for _ in range(TICKS):
        page = world.tick()
    return page


def answer(node: Node, path: str) -> dict[str, Any]:
    assert node.publisher.page is not None
    response = Api(UiFiles()).respond(path, {"QUERY_STRING": ""}, node.publisher.page.view, None)
    document: dict[str, Any] = json.loads(response.body)
    assert not list(_strict(path).iter_errors(document))
    return document


def test_what_a_pod_holds_and_does_not_use_is_its_idle_energy_and_no_other(page: Samples) -> None:
    for pod in (TRAIN, HOARD):
        idle = of(page, "podjoule_pod_gpu_idle_joules_total", pod_name=pod.name)
        assert idle == pytest.approx(IDLE_WATTS * BOOKED)
    assert of(page, "kepler_pod_gpu_joules_total", pod_name=TRAIN.name) == pytest.approx(
        ACTIVE_WATTS * BOOKED
    )
    assert not series(page, "kepler_pod_gpu_joules_total", pod_name=HOARD.name)
    assert not series(page, "podjoule_pod_idle_joules_total")


def test_who_holds_none_gets_none() -> None:
    world = GpuWorld(held={"gpu-1": ("somebody who is not here",)})
    world.node.tick()
    page = world.tick()
    assert not series(page, "podjoule_pod_gpu_idle_joules_total")
    assert of(page, "kepler_node_gpu_idle_joules_total") == pytest.approx(2 * IDLE_WATTS * SECONDS)


def test_where_processes_are_not_told_the_holders_pay_alike() -> None:
    world = GpuWorld(held={"gpu-0": (HOARD.uid, TRAIN.uid)})
    world.node.tick()
    world.node.draw(100.0)
    next(counter for counter in world.node.counters if counter.path == "gpu-0").draw(300.0 * SECONDS)
    page = world.node.tick()
    for pod in (TRAIN, HOARD):
        joules = of(page, "kepler_pod_gpu_joules_total", pod_name=pod.name)
        assert joules == pytest.approx(ACTIVE_WATTS * SECONDS / 2)


def test_grams_are_of_the_cpu_s_and_the_gpu_s_energy(page: Samples) -> None:
    (intensity,) = series(page, "podjoule_grid_carbon_intensity_grams_per_kwh").values()
    joules = of(page, "kepler_pod_gpu_joules_total", pod_name=TRAIN.name)
    joules += of(page, "kepler_pod_cpu_joules_total", pod_name=TRAIN.name)
    grams = of(page, "podjoule_pod_carbon_grams_total", pod_name=TRAIN.name)
    assert grams == pytest.approx(joules / 3.6e6 * intensity)


def test_the_api_tells_of_each_gpu_and_who_holds_it(world: GpuWorld, page: Samples) -> None:
    status = answer(world.node, "status")
    first, second = status["gpus"]
    assert (first["gpu"], first["uuid"], first["name"], first["pods"]) == (
        "0",
        "gpu-0",
        "H100",
        ["ml/train-0"],
    )
    assert (first["watts"], first["idle_watts"]) == pytest.approx((300.0, IDLE_WATTS))
    assert (second["active_watts"], second["pods"]) == (0.0, ["ml/hoard-0"])
    assert status["energy"]["counted_zones"] == ["package", "gpu"]
    rows = {row["name"]: row for row in answer(world.node, "workloads")["workloads"] if row["kind"] == "pod"}
    assert rows["train-0"]["watts_by_zone"]["gpu"] == pytest.approx(ACTIVE_WATTS)


def test_top_has_a_line_of_them(world: GpuWorld, page: Samples) -> None:
    frame = make_frame(answer(world.node, "status"), answer(world.node, "workloads"))
    text = table_text(frame, Choice())
    assert "GPUs 0 300 W (idle 40.0 W) ml/train-0  1 40.0 W (idle 40.0 W) ml/hoard-0" in text


def test_a_snapshot_has_a_part_of_them_and_its_rows_add_up(world: GpuWorld) -> None:
    world.node.advance()
    world.run()
    found: Any = describe(world.node.measurement, world.node.advance())
    first, second = found["gpus"]
    assert (first["gpu"], first["pods"], second["pods"]) == ("0", ["ml/train-0"], ["ml/hoard-0"])
    assert first["active_joules"] == pytest.approx(ACTIVE_WATTS * SECONDS)
    used = sum(row["joules"]["gpu"] for row in found["workloads"])
    assert used + found["zones"]["gpu"]["unattributed_joules"] == found["zones"]["gpu"]["active_joules"]
    assert "0 H100" in table(found)
    assert "ml/hoard-0" in table(found)


def test_without_a_gpu_nothing_is_said_of_them() -> None:
    node = Node()
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 1.0)
    node.draw(10.0)
    page = node.tick()
    assert not [key for key in page if "gpu" in key[0] or "device" in key[0]]
    status = answer(node, "status")
    assert status["gpus"] == []
    assert "GPU" not in table_text(make_frame(status, answer(node, "workloads")), Choice())
    node.source.use(container(1), 1.0)
    node.draw(10.0)
    found: Any = describe(node.measurement, node.advance())
    assert "gpus" not in found
    assert "GPU" not in table(found)
