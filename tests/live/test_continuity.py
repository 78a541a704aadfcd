"""Restarts under load: what the kernel counted meanwhile is not lost, and no counter goes down."""

from __future__ import annotations

import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpf.counters import CPU_NS, INSTRUCTIONS, SWITCHES, CounterSource
from ebpf.pins import layouts, remove_pins
from ebpf.program import HOOKS, PINNED_MAPS, ProgramOptions
from ebpf.source import open_source
from tests.e2e.servers import ROOT, Podjoule
from tests.live import loads
from tests.live.in_kernel import assert_gone, in_kernel, still_there
from tests.live.pages import Watch, seconds_of, value_of
from tests.live.restarts import DOWN_SECONDS, Restarted, UnderLoad, container, end, ping_pong, rapl
from tests.live.sandbox import BUSY, Cgroup, cgroup, hierarchies, stop
from tests.live.test_events import STAND_INS, perf_counts, perf_of
from tests.programs import program

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


def another_build(folder: Path) -> Path:
    """The same package with a kernel program whose code is another and whose layout is the same."""
    build = folder / "build"
    for package in ("ebpf", "estimator", "exporter", "models"):
        shutil.copytree(ROOT / package, build / package, ignore=shutil.ignore_patterns("__pycache__"))
    source = build / "ebpf/kernel/sched_switch.bpf.c"
    more = "\tvolatile __u64 another_build = bpf_ktime_get_ns();\n\n\t(void)another_build;\n"
    text = source.read_text()
    begin = text.index("\tstruct cpu_state *cpu = this_cpu();", text.index("int switched("))
    source.write_text(text[:begin] + more + text[begin:])
    made = subprocess.run(
        [
            "make",
            "-f",
            ROOT / "Makefile",
            "-B",
            "-o",
            ".venv/.set-up-for-run",
            "ebpf/kernel/sched_switch.bpf.o",
        ],
        cwd=build,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return build


def test_five_restarts_under_load_lose_nothing(tmp_path: Path, bpffs: Path) -> None:
    tree, build = rapl(tmp_path), another_build(tmp_path)
    restarted = Restarted(tmp_path, f"--ebpf.pin={bpffs}/podjoule", "--host.procfs=/proc")
    ends = [signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM]
    builds = [None, None, build, None, build, None]
    tags = set()
    with cgroup("continuity") as parent, Watch() as watch:
        loaded = UnderLoad(parent, watch, tree, lambda number: restarted.start(builds[number]))
        process, outcome = loaded.restart(ends, 5.0, lambda it: tags.add(switch_program(it.process.pid)))
        try:
            left = remove_while_running(process, bpffs / "podjoule")
        finally:
            process.stop()
        assert_gone(left)
    assert len(tags) == 2, "both builds counted"
    assert watch.fallen == []
    assert watch.pages > 50
    outcome.assert_told(joules_within=0.005)
    counted = value_of(outcome.page, r'podjoule_downtime_seconds_total{.*counted="true"')
    assert counted > len(ends) * DOWN_SECONDS


def switch_program(pid: int) -> str:
    """The tag of the program on sched_switch: the hash of its instructions."""
    ids = [number for kind, number in in_kernel(pid) if kind == "prog"]
    command = [program("bpftool"), "prog", "show", "id"]
    shown = [
        subprocess.run([*command, str(n)], capture_output=True, check=True, text=True).stdout for n in ids
    ]
    (tag,) = {found[1] for text in shown if (found := re.search(r"name on_switch\s+tag (\S+)", text))}
    return tag


def remove_while_running(process: Podjoule, directory: Path) -> set[tuple[str, int]]:
    """Unpin with the process still there, and what it will leave behind if that is not all."""
    objects = in_kernel(process.process.pid)
    done = subprocess.run(
        [sys.executable, "-m", "exporter.commands.cli", "unpin", "--ebpf.pin", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("removed ") == len(PINNED_MAPS) + len(HOOKS)
    assert "link_on_switch" in done.stdout
    return objects


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])
def test_without_pins_nothing_stays_in_the_kernel(tmp_path: Path, number: int) -> None:
    rapl(tmp_path)
    process = Restarted(tmp_path).start()
    objects = in_kernel(process.process.pid)
    end(process, number)
    assert_gone(objects)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])
def test_what_is_pinned_stays_until_it_is_unpinned(tmp_path: Path, bpffs: Path, number: int) -> None:
    rapl(tmp_path)
    process = Restarted(tmp_path, f"--ebpf.pin={bpffs}/podjoule").start()
    objects = in_kernel(process.process.pid)
    end(process, number)
    time.sleep(0.5)
    assert {kind for kind, _ in still_there(objects)} >= {"prog", "link", "map"}
    remove_pins(bpffs / "podjoule")
    assert_gone(objects)
    assert not (bpffs / "podjoule").exists()


def test_without_pins_counters_go_on_and_the_downtime_is_a_gap(tmp_path: Path) -> None:
    rapl(tmp_path)
    restarted = Restarted(tmp_path)
    with cgroup("gap") as parent, Watch() as watch:
        group = container(parent, 7)
        process = restarted.start()
        watch.url = process.url
        busy = group.python(BUSY, cpu=0)
        time.sleep(2)
        before = seconds_of(process.metrics(), group)
        end(process, signal.SIGKILL)
        time.sleep(DOWN_SECONDS)
        process = restarted.start()
        watch.url = process.url
        time.sleep(2)
        stop(busy)
        time.sleep(1.5)
        page, used = process.metrics(), group.used_ns("v2") / 1e9
        watch.look(page)
        process.stop()
    assert watch.fallen == []
    assert 0 < before < seconds_of(page, group) < used
    assert value_of(page, r'podjoule_downtime_seconds_total{.*counted="false"') > DOWN_SECONDS
    assert "are a gap, counters go on after it: the counts ended with the process" in restarted.logs


def opened(pin: Path, **more: object) -> CounterSource:
    return open_source("core", ProgramOptions(hierarchies()["v2"], pin=pin, **more))  # type: ignore[arg-type]


def count(source: CounterSource, group: Cgroup, field: int) -> int:
    snapshot = source.read()
    return int(snapshot.values[snapshot.cgroup_id == group.cgroup_id("v2"), :, field].sum())


def test_taking_over_under_a_ping_pong_leaves_neither_gap_nor_double_count(bpffs: Path) -> None:
    times = 20
    with cgroup("handover") as parent:
        ping, pong = parent.child("ping").make(), parent.child("pong").make()
        undisturbed = open_source("core", ProgramOptions(hierarchies()["v2"]))
        source = opened(bpffs / "p")
        running = ping_pong(ping, pong)
        for _ in range(times):
            source.close()
            time.sleep(0.1)
            source = opened(bpffs / "p")
            time.sleep(0.1)
        stop(running)
        try:
            for group in (ping, pong):
                switches = count(source, group, SWITCHES), count(undisturbed, group, SWITCHES)
                cpu_ns, kernel_ns = count(source, group, CPU_NS), group.used_ns("v2")
                print(
                    f"{group.path}: switches {switches}, {cpu_ns / 1e9:.4f} s, kernel {kernel_ns / 1e9:.4f} s"
                )
                assert switches[0] == pytest.approx(switches[1], rel=0.001, abs=2 * times)
                assert switches[0] > 1000 * times / 5
                assert cpu_ns == pytest.approx(kernel_ns, rel=0.005, abs=5e6)
        finally:
            source.close()
            undisturbed.close()
            remove_pins(bpffs / "p")


def test_events_go_on_counting_while_nobody_is_there(bpffs: Path) -> None:
    with cgroup("events") as group, perf_of(group) as descriptors:
        source = opened(bpffs / "p", events=STAND_INS)
        source.close()
        running = group.python(loads.PAGE_FAULTS, cpu=1)
        time.sleep(2)
        stop(running)
        source = opened(bpffs / "p", events=STAND_INS)
        try:
            counted, perfs = count(source, group, INSTRUCTIONS), perf_counts(descriptors)["instructions"]
        finally:
            source.close()
            remove_pins(bpffs / "p")
    print(f"page faults: counted {counted}, perf {perfs}")
    assert perfs > 1000
    assert counted == pytest.approx(perfs, rel=0.01)


def test_another_layout_is_not_taken_over(bpffs: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = opened(bpffs / "p")
    (layout,) = layouts(bpffs / "p")
    identity = first.kept().identity
    first.close()
    second = opened(bpffs / "p", map_entries=1000)
    try:
        assert second.kept().identity not in ("", identity)
        assert layouts(bpffs / "p") != [layout]
        assert f"{layout} is of another layout and was removed: counts begin anew" in caplog.text
    finally:
        second.close()
        remove_pins(bpffs / "p")


def test_the_same_layout_has_the_same_identity(bpffs: Path) -> None:
    first = opened(bpffs / "p")
    identity = first.kept().identity
    first.close()
    second = opened(bpffs / "p")
    assert second.kept().identity == identity != ""
    second.close()
    remove_pins(bpffs / "p")


def test_a_part_of_the_pins_is_not_taken_over(bpffs: Path) -> None:
    first = opened(bpffs / "p")
    identity = first.kept().identity
    first.close()
    (layout,) = layouts(bpffs / "p")
    (bpffs / "p" / layout / "link_on_switch").unlink()
    second = opened(bpffs / "p")
    assert second.kept().identity != identity
    second.close()
    remove_pins(bpffs / "p")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    from ebpf import pins

    waiting: Callable[..., int | None] = pins.lock_directory
    monkeypatch.setattr(pins, "lock_directory", lambda directory, _seconds: waiting(directory, 0.2))


def test_pins_that_are_in_use_are_left_alone(
    bpffs: Path, soon: None, caplog: pytest.LogCaptureFixture
) -> None:
    first = opened(bpffs / "p")
    with caplog.at_level(logging.ERROR, "ebpf"):
        second = opened(bpffs / "p")
    assert "another podjoule is still running there" in caplog.text
    assert second.kept().identity == ""
    second.close()
    assert first.kept().identity
    first.close()
    remove_pins(bpffs / "p")


def test_elsewhere_than_on_a_bpffs_nothing_is_pinned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = opened(tmp_path / "p")
    source.close()
    assert "is not on a bpffs: mount -t bpf bpf /sys/fs/bpf" in caplog.text
    assert not (tmp_path / "p").exists()


def test_a_cgroup_that_came_and_went_meanwhile_has_its_name(bpffs: Path) -> None:
    first = opened(bpffs / "p")
    first.close()
    with cgroup("meanwhile") as group:
        path, cgroup_id = group.path, group.cgroup_id("v2")
        stop(group.python("pass"))
    second = opened(bpffs / "p")
    try:
        assert cgroup_id in second.read().cgroup_id
        assert second.directory.path(cgroup_id) == path
    finally:
        second.close()
        remove_pins(bpffs / "p")
