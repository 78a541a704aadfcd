"""What dashboards are built on: names and types never change, labels only grow, nothing goes unsaid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.commands.metrics_reference import every_spec
from exporter.metrics.families import SPECS
from tests.exporter.metrics import stable_families
from tests.exporter.metrics.stable_families import (
    LIST,
    Promise,
    broken,
    declared,
    grown,
    main,
    parse,
    written,
)
from tests.exporter.nodes import NODE, Node, in_pod, write_process

JOULES = Promise("kepler_pod_cpu_joules_total", "counter", ("pod_id", "zone"))
UP = Promise("podjoule_pod_directory_up", "gauge", ())
PROMISED = {JOULES.name: JOULES, UP.name: UP}

# What dashboards for Kepler ask for: whoever takes one away here has to mean it.
KEPLERS = {
    "kepler_node_cpu_joules_total",
    "kepler_node_cpu_active_joules_total",
    "kepler_node_cpu_idle_joules_total",
    "kepler_node_cpu_watts",
    "kepler_node_cpu_active_watts",
    "kepler_node_cpu_idle_watts",
    "kepler_node_cpu_usage_ratio",
    "kepler_node_cpu_info",
    "kepler_container_cpu_joules_total",
    "kepler_container_cpu_watts",
    "kepler_container_cpu_seconds_total",
    "kepler_pod_cpu_joules_total",
    "kepler_pod_cpu_watts",
    "kepler_vm_cpu_joules_total",
    "kepler_vm_cpu_watts",
    "kepler_process_cpu_joules_total",
    "kepler_process_cpu_watts",
    "kepler_process_cpu_seconds_total",
    "kepler_node_gpu_joules_total",
    "kepler_node_gpu_watts",
    "kepler_node_gpu_info",
    "kepler_platform_watts",
}


def test_no_promise_is_broken() -> None:
    assert broken(parse(LIST.read_text()), declared(every_spec())) == []


def test_the_list_is_current() -> None:
    promised = parse(LIST.read_text())
    assert LIST.read_text() == written(grown(promised, declared(every_spec()))), "out of date: run make docs"


def test_keplers_families_and_our_own_are_promised() -> None:
    promised = parse(LIST.read_text())
    assert {name for name, promise in promised.items() if not promise.gone} >= KEPLERS
    assert {spec.name for spec in SPECS} <= set(promised)
    assert "process_cpu_seconds_total" in promised
    assert not [name for name in promised if name.startswith("python_")]


def test_series_have_the_labels_that_are_promised(tmp_path: Path) -> None:
    write_process(tmp_path, 100, "nginx")
    node = Node(procfs=tmp_path, levels=(*NODE, "process"), idle_policy="even", zones=("package", "dram"))
    node.source.add(in_pod(1))
    node.source.add("/a.service")
    node.tick()
    for path in (in_pod(1), "/a.service"):
        node.source.use(path, 1.0, tgid=100, cycles=10)
    node.draw(100.0)
    samples, promised = node.tick(), parse(LIST.read_text())
    shown = {name: {label for label, _ in labels} for name, labels in samples}
    assert len(shown.keys() & promised.keys()) > 40
    for name in shown.keys() & promised.keys():
        ours = set() if name.startswith("process_") else {"node_name"}
        assert shown[name] == ours | set(promised[name].labels), name


def test_growing_is_no_breach() -> None:
    more = {
        **PROMISED,
        JOULES.name: replace(JOULES, labels=("zone", "pod_id", "tenant")),
        "kepler_new": Promise("kepler_new", "gauge", ()),
    }
    assert broken(PROMISED, more) == []
    assert grown(PROMISED, more) == more
    assert parse(written(more)) == more


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({UP.name: UP}, "kepler_pod_cpu_joules_total is declared no more"),
        ({**PROMISED, JOULES.name: replace(JOULES, type="gauge")}, "was a counter and is a gauge"),
        ({**PROMISED, JOULES.name: replace(JOULES, labels=("pod_id",))}, "has lost zone: labels only grow"),
    ],
)
def test_a_list_that_falls_is_refused(now: dict[str, Promise], said: str) -> None:
    (found,) = broken(PROMISED, now)
    assert said in found
    with pytest.raises(ValueError, match=said):
        grown(PROMISED, now)


def test_a_family_goes_with_a_word_and_stays_in_the_list() -> None:
    left = grown(PROMISED, {UP.name: UP}, {JOULES.name: "since 0.9: kepler_x has it"})
    assert left[JOULES.name].gone == "since 0.9: kepler_x has it"
    assert parse(written(left)) == left
    assert grown(left, {UP.name: UP}) == left
    assert "is said to be gone" in broken(left, PROMISED)[0], "a name that went never means something else"
    with pytest.raises(ValueError, match="kepler_y was never promised"):
        grown(PROMISED, PROMISED, {"kepler_y": "why not"})


def test_the_command_writes_what_has_grown_and_refuses_what_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.tsv"
    monkeypatch.setattr(stable_families, "LIST", path)
    assert main([]) == 0
    whole = path.read_text()
    path.write_text(whole.replace("kepler_pod_cpu_watts\tgauge", "kepler_pod_cpu_watts\tcounter"))
    changed = path.read_text()
    assert main([]) == 1
    assert "kepler_pod_cpu_watts was a counter and is a gauge" in capsys.readouterr().err
    assert path.read_text() == changed
    path.write_text("".join(line for line in whole.splitlines(True) if "kepler_pod" not in line))
    assert main([]) == 0
    assert path.read_text() == whole
    path.write_text(f"{whole}kepler_old_total\tcounter\tzone\n")
    assert main(["--gone", "kepler_old_total", "since 0.9: nobody asked"]) == 0
    assert "kepler_old_total\tcounter\tzone\tsince 0.9: nobody asked\n" in path.read_text()
