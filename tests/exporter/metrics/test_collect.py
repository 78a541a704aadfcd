"""What is exported: names and labels as the design has them, one page to the byte, and promtool content."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.fake import FakeCounterSource
from estimator.energy import SourceInfo, Usage, ZoneEnergy
from exporter.metrics.exposition import Renderer
from exporter.metrics.families import SPECS
from exporter.tick.power import NoEnergy, Power
from tests.exporter.golden import FILES, PAGES
from tests.exporter.nodes import NODE, Node, container, in_pod, labels_of, of, parse, series

CONTAINER = "container_id, container_name, runtime, state, pod_id"
POD = "pod_id, pod_name, pod_namespace, state"
VM = "vm_id, vm_name, hypervisor, state"
PROCESS = "pid, comm, exe, type, state, container_id, vm_id"
# DESIGN section 5, line by line; every series has node_name as well.
GPU_NODE = (
    *(f"kepler_node_gpu_{part}joules_total" for part in ("", "active_", "idle_")),
    *(f"kepler_node_gpu_{part}watts" for part in ("", "active_", "idle_")),
    "kepler_node_gpu_info",
)
TABLE = {
    "kepler_platform_watts": "source, bmc_id, chassis_id, source_id, source_name, source_type",
    "podjoule_platform_joules_total": "source, bmc_id, chassis_id",
    "kepler_node_cpu_joules_total": "zone, path",
    "kepler_node_cpu_active_joules_total": "zone, path",
    "kepler_node_cpu_idle_joules_total": "zone, path",
    "kepler_node_cpu_watts": "zone, path",
    "kepler_node_cpu_active_watts": "zone, path",
    "kepler_node_cpu_idle_watts": "zone, path",
    "kepler_node_cpu_usage_ratio": "",
    "kepler_node_cpu_info": "processor, vendor_id, model_name, physical_id, core_id",
    "kepler_container_cpu_joules_total": f"{CONTAINER}, zone",
    "kepler_container_cpu_watts": f"{CONTAINER}, zone",
    "kepler_container_cpu_seconds_total": CONTAINER,
    "kepler_pod_cpu_joules_total": f"{POD}, zone",
    "kepler_pod_cpu_watts": f"{POD}, zone",
    "kepler_vm_cpu_joules_total": f"{VM}, zone",
    "kepler_vm_cpu_watts": f"{VM}, zone",
    "kepler_process_cpu_joules_total": f"{PROCESS}, zone",
    "kepler_process_cpu_watts": f"{PROCESS}, zone",
    "kepler_process_cpu_seconds_total": PROCESS,
    "kepler_container_cpu_cycles_total": CONTAINER,
    "kepler_container_cpu_instructions_total": CONTAINER,
    "kepler_container_cache_miss_total": CONTAINER,
    "podjoule_cgroup_cpu_joules_total": "cgroup, kind, zone",
    "podjoule_cgroup_cpu_seconds_total": "cgroup, kind",
    "podjoule_container_idle_joules_total": f"{CONTAINER}, zone",
    "podjoule_pod_idle_joules_total": f"{POD}, zone",
    "podjoule_node_unattributed_joules_total": "zone, reason",
    "podjoule_power_source_info": "zone, source, model, sha256",
    **dict.fromkeys(GPU_NODE, "gpu, gpu_uuid, gpu_name, vendor"),
    "kepler_container_gpu_joules_total": CONTAINER,
    "kepler_container_gpu_watts": CONTAINER,
    "kepler_pod_gpu_joules_total": POD,
    "kepler_pod_gpu_watts": POD,
    "kepler_process_gpu_joules_total": PROCESS,
    "kepler_process_gpu_watts": PROCESS,
    "podjoule_component_up": "component",
    "podjoule_component_errors_total": "component",
    "podjoule_component_duration_seconds": "component",
}


@pytest.mark.parametrize("name", TABLE)
def test_labels_are_the_designs(name: str) -> None:
    (spec,) = [spec for spec in SPECS if spec.name == name]
    assert ", ".join(spec.labels) == TABLE[name]


def test_nothing_claims_to_be_keplers_that_is_not() -> None:
    assert {spec.name for spec in SPECS if spec.name.startswith("kepler_")} == {
        name for name in TABLE if name.startswith("kepler_")
    }
    assert {spec.name.partition("_")[0] for spec in SPECS} == {"kepler", "podjoule"}


def test_the_pages_labels_are_the_designs() -> None:
    found: dict[str, set[str]] = {}
    for name, labels in parse((PAGES / "everything.prom").read_text()):
        found.setdefault(name, set()).update(label for label, _ in labels)
    assert {name: found.pop(name) for name in TABLE} == {
        name: {"node_name", *filter(None, labels.split(", "))} for name, labels in TABLE.items()
    }
    assert all("node_name" in labels for labels in found.values())


@pytest.mark.parametrize("name", FILES)
def test_the_page_of_a_known_node_is_this_one(name: str) -> None:
    assert FILES[name]() == (PAGES / name).read_text(), "python -m tests.exporter.golden writes them anew"


@pytest.mark.e2e
@pytest.mark.parametrize("page", sorted(PAGES.glob("*.prom")), ids=lambda page: page.stem)
def test_promtool_has_nothing_to_say(page: Path, require_command: Callable[[str], str]) -> None:
    checked = subprocess.run(
        [require_command("promtool"), "check", "metrics"],
        input=page.read_text(),
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        ("node", "kepler_node_"),
        ("container", "kepler_container_"),
        ("pod", "kepler_pod_"),
        ("vm", "kepler_vm_"),
    ],
)
def test_only_the_levels_asked_for_are_there(level: str, prefix: str) -> None:
    node = Node(levels=(level,))
    node.source.add(in_pod(1))
    node.source.add(r"/machine.slice/machine-qemu\x2d1\x2dweb.scope")
    node.tick()
    node.draw(10.0)
    kepler = {name for name, _ in node.tick() if name.startswith("kepler_")}
    assert kepler
    assert all(name.startswith(prefix) for name in kepler)


def test_what_is_not_measured_has_no_family() -> None:
    node = Node()
    node.source._available = frozenset({"cpu_ns"})
    node.source.add(container(1))
    node.tick()
    samples = node.tick()
    assert series(samples, "kepler_container_cpu_seconds_total")
    assert not series(samples, "kepler_container_cpu_cycles_total")
    assert labels_of(series(samples, "podjoule_usage_source_info"), "available") == {"cpu_ns"}


def test_a_series_keeps_its_labels_from_first_to_last() -> None:
    node = Node(ttl=15.0)
    node.source.add(in_pod(1))
    node.tick()
    seen = set()
    for tick in range(6):
        if tick == 2:
            node.source.end(in_pod(1))
        else:
            node.draw(1.0)
        seen |= set(series(node.tick(), "kepler_container_cpu_joules_total"))
    assert len(seen) == 1


def test_a_container_that_ended_draws_nothing() -> None:
    node = Node()
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 1.0)
    node.source.end(container(1))
    node.draw(10.0)
    node.tick()
    samples = node.tick()
    assert of(samples, "kepler_container_cpu_watts") == 0.0
    assert of(samples, "kepler_container_cpu_joules_total") == 1.0


def test_the_baseline_knows_no_watts_and_no_ratio() -> None:
    samples = Node().tick()
    assert not [name for name, _ in samples if name.endswith(("_watts", "_usage_ratio", "_joules_total"))]
    assert of(samples, "podjoule_ticks_total") == 1


class Estimated(NoEnergy):
    info = SourceInfo("model", "mine", "abc")

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        seconds = usage.interval_seconds
        return (
            [ZoneEnergy("platform", None, "model:mine", 50.0, seconds, 2.0, 25.0, 100.0)] if seconds else []
        )


def test_an_estimate_has_its_bounds_and_says_of_which_model() -> None:
    node = Node(energy=Estimated())
    node.tick()
    samples = node.tick()
    assert of(samples, "podjoule_model_low_watts") == 5.0
    assert of(samples, "podjoule_model_high_watts") == 20.0
    assert of(samples, "podjoule_power_source_info", source="model", model="mine", sha256="abc") == 1.0
    assert of(samples, "podjoule_idle_method_info", zone="platform", method="idle_watts") == 1.0
    assert of(samples, "kepler_node_cpu_idle_joules_total") == 10.0


def test_a_meter_has_no_bounds() -> None:
    node = Node()
    node.tick()
    node.draw(10.0)
    assert not [name for name, _ in node.tick() if name.startswith("podjoule_model_")]


def test_label_tuples_are_made_once_for_as_long_as_the_rows_stay() -> None:
    node = Node(levels=NODE)
    node.source.add(container(1))
    node.advance()
    collector = node.publisher._collector
    first, second = (collector.measured(node.advance(), NODE, 1, 0.0) for _ in range(2))
    by_name = [{family.name: family.labels for family in families} for families in (first, second)]
    assert by_name[0]["kepler_container_cpu_joules_total"] is by_name[1]["kepler_container_cpu_joules_total"]
    Renderer().render([replace(family) for family in first])


def test_what_the_whole_node_used_is_there_and_what_is_not_counted_is_not() -> None:
    node = Node(source=FakeCounterSource(n_cpu=2, available=frozenset({"cpu_ns", "cycles"})))
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 1.5, cycles=4_000)
    node.source.drop(0.5)
    node.tick()
    samples = node.tick()
    assert of(samples, "podjoule_node_cpu_seconds_total") == 2.0
    assert of(samples, "podjoule_node_cycles_total") == 4_000
    assert not series(samples, "podjoule_node_instructions_total")


def test_a_model_that_another_stands_in_for_is_named() -> None:
    power = Power(NoEnergy(), {}, lambda: None, fallback=lambda: {"m.json": "cycles"})
    samples = Node(power=power).tick()
    assert of(samples, "podjoule_model_fallback_info", file="m.json", lacks="cycles") == 1
    assert not series(Node().tick(), "podjoule_model_fallback_info")
