"""A counter's start is a time at which it was 0: it holds nothing from before, and the start never moves."""

from __future__ import annotations

from errno import EIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.metrics.exposition import Family
from exporter.metrics.selfmetrics import OwnFamilies
from tests.exporter.names.test_naming import CONTAINER_ID, POD_UID, WEB, FakePods
from tests.exporter.nodes import NODE, Node, Samples, container, in_pod, of, with_levels

SECONDS = "kepler_container_cpu_seconds_total"


def page(node: Node) -> tuple[Samples, Samples]:
    """The counters of the OpenMetrics page, and the start of each under the counter's name."""
    assert node.publisher.page is not None
    text = node.publisher.page.body(openmetrics=True).decode()
    counters: Samples = {}
    starts: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.type == "counter" else ():
            key = f"{family.name}_total", tuple(sorted(sample.labels.items()))
            (starts if sample.name.endswith("_created") else counters)[key] = sample.value
    return counters, starts


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_every_counter_has_one_that_stays_and_was_0_then(data: st.DataObject) -> None:
    """Also with readings that fail, whose tick the next one spans, and rows that go and come again."""
    node = Node(zones=("package", "dram"), levels=NODE, idle_policy="proportional", ttl=8.0, epoch=1.8e9)
    alive: set[int] = set()
    before: Samples = {}
    last: Samples = {}
    shown_at = 0.0
    for _ in range(8):
        for number in data.draw(st.sets(st.integers(1, 3))):
            (node.source.end if number in alive else node.source.add)(in_pod(number))
            alive ^= {number}
        for number in alive:
            node.source.use(in_pod(number), 0.5)
        node.draw(20.0)
        if data.draw(st.integers(0, 4)) == 0 and last:
            node.source.failures.append(OSError(EIO, "no"))
        node.tick()
        counters, starts = page(node)
        ours = {key for key in counters if not key[0].startswith(("process_", "python_"))}
        assert starts.keys() == counters.keys()
        for key in ours & before.keys():
            assert starts[key] == before[key], "it moved"
        for key in ours - before.keys():
            assert starts[key] <= node.epoch + node.seconds()
            assert not last or starts[key] <= shown_at, "it was counted, and not shown, before it began"
        before, last, shown_at = {key: starts[key] for key in ours}, counters, node.epoch + node.seconds()


def test_a_row_begins_with_the_interval_that_it_is_first_counted_in() -> None:
    node = Node()
    node.tick()
    node.source.add(container(1))
    node.source.use(container(1), 1.0)
    node.tick()
    counters, starts = page(node)
    assert (of(counters, SECONDS), of(starts, SECONDS)) == (1.0, 5.0)


def test_after_a_reading_that_failed_it_is_that_of_both_ticks() -> None:
    node = Node()
    node.tick()
    node.source.failures.append(OSError(EIO, "no"))
    node.source.add(container(1))
    node.source.use(container(1), 1.0)
    node.tick()
    node.tick()
    counters, starts = page(node)
    assert (of(counters, SECONDS), of(starts, SECONDS)) == (1.0, 5.0)


def test_a_row_that_went_and_came_again_has_another() -> None:
    node = Node(ttl=4.0)
    path = "/system.slice/ssh.service"
    name = "podjoule_cgroup_cpu_seconds_total"
    began = []
    for _ in range(2):
        node.source.add(path)
        node.source.use(path, 1.0)
        node.tick()
        node.source.use(path, 1.0)
        node.tick()
        counters, starts = page(node)
        began.append(of(starts, name, cgroup=path))
        node.source.end(path)
        for _ in range(3):
            node.tick()
    assert began == [5.0, 25.0]
    assert of(counters, name, cgroup=path) == 2.0


def test_a_pod_that_is_known_later_began_with_its_container() -> None:
    pods = FakePods()
    node = Node(pods=pods)
    node.tick()
    path = f"/docker/{CONTAINER_ID}"
    node.source.add(path)
    node.source.use(path, 1.0)
    node.draw(10.0)
    node.tick()
    node.tick()
    pods.known = [WEB]
    node.tick()
    counters, starts = page(node)
    assert of(counters, "kepler_pod_cpu_joules_total", pod_id=POD_UID) > 0
    assert of(starts, "kepler_pod_cpu_joules_total", pod_id=POD_UID) == 5.0


def test_the_nodes_and_its_own_began_with_the_process_and_what_comes_later_with_its_tick() -> None:
    node = Node(epoch=1.8e9)
    node.tick()
    node.source.failures.append(OSError(EIO, "no"))
    node.tick()
    node.draw(10.0)
    node.tick()
    _, starts = page(node)
    assert of(starts, "podjoule_ticks_total") == 1.8e9
    assert of(starts, "podjoule_component_errors_total", component="counters") == 1.8e9
    assert of(starts, "kepler_node_cpu_joules_total") == 1.8e9 + 5.0, "the zone is not on the first page"


def test_what_was_counted_before_it_was_shown_began_with_the_process() -> None:
    """As after a reload that adds a level."""
    node = Node(epoch=1.8e9, levels=("pod",))
    for _ in range(4):
        node.draw(10.0)
        node.tick()
    node.ticker.config = with_levels(node.config, NODE)
    node.draw(10.0)
    node.tick()
    counters, starts = page(node)
    assert of(counters, "kepler_node_cpu_joules_total") == 40.0
    assert of(starts, "kepler_node_cpu_joules_total") == 1.8e9


def test_none_lies_ahead_after_a_clock_that_was_ahead_is_put_back() -> None:
    """As a board's without a battery, once it hears of the time."""
    node = Node(epoch=1.8e9, levels=(*NODE, "process"))
    for path in (container(1), in_pod(2)):
        node.source.add(path)
    for _ in range(3):
        node.source.use(container(1), 1.0, tgid=7)
        node.draw(10.0)
        node.tick()
    node.epoch -= 3600.0
    node.tick()
    capped = page(node)[1]
    ours = {key for key in capped if not key[0].startswith(("process_", "python_"))}
    assert {capped[key] for key in ours} == {node.epoch + node.seconds()}
    for step in (0.0, -0.9):
        node.epoch += step
        node.tick()
    assert {key: page(node)[1][key] for key in ours} == {key: capped[key] for key in ours}, "once"


def test_the_text_format_says_nothing_of_it() -> None:
    node = Node()
    node.tick()
    assert node.publisher.page is not None
    assert b"_created" not in node.publisher.page.body()


def test_only_what_is_no_row_is_remembered() -> None:
    """Rows come and go, and keep their starts themselves."""
    node = Node(levels=(*NODE, "process"), idle_policy="even")
    for number in range(1, 20):
        node.source.add(in_pod(number))
        node.source.use(in_pod(number), 0.1, tgid=number)
        node.tick()
    remembered = {name for name, _ in node.measurement.starts}
    assert not {
        name for name in remembered if name.split("_")[1] in ("container", "pod", "vm", "process")
    } - {"podjoule_container_name_errors_total"}
    assert len(node.measurement.starts) < 60


def own_starts(procfs: Path) -> set[float]:
    families: list[Family] = OwnFamilies(procfs, 1.8e9).read()
    return {start for family in families for start in family.created or () if family.type == "counter"}


def test_the_process_s_own_began_when_the_kernel_says(tmp_path: Path) -> None:
    assert own_starts(tmp_path) == {1.8e9}, "nothing is known of the process"
    fields = " ".join(str(number) for number in range(1, 50))
    (tmp_path / "self").mkdir()
    (tmp_path / "self/stat").write_text(f"4321 (podjoule) S {fields}")
    (tmp_path / "stat").write_text("btime 1700000000\n")
    (began,) = own_starts(tmp_path)
    assert began == pytest.approx(1.7e9 + 0.19)
