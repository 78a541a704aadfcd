"""Joules by process: names from /proc once, a used PID is another process, and no series is there twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from exporter.books.processes import ProcessInfo, ProcessLedger, read_process
from exporter.books.row_lifetimes import Lifetimes
from exporter.names.workloads import identify
from tests.exporter.nodes import NODE, Node, Samples, container, labels_of, of, series, write_process

WEB, WEB_ID = container(1), f"{1:064x}"
JOULES = "kepler_process_cpu_joules_total"
SECONDS = "kepler_process_cpu_seconds_total"


@pytest.fixture
def procfs(tmp_path: Path) -> Path:
    write_process(tmp_path, 100, "nginx", "/usr/sbin/nginx")
    (tmp_path / "cpuinfo").touch()
    return tmp_path


@pytest.fixture
def node(procfs: Path) -> Node:
    made = Node(procfs=procfs, levels=(*NODE, "process"), ttl=20.0)
    made.source.add(WEB)
    made.tick()
    return made


def run(node: Node, *pids: int, path: str = WEB, seconds: float = 1.0) -> Samples:
    """A tick in which these processes run alike, drawing 10 J."""
    for pid in pids:
        node.source.use(path, seconds, tgid=pid, cpu=1)
    node.draw(10.0 * 5 * 2 / (seconds * len(pids)))
    return node.tick()


def end(node: Node, pid: int) -> None:
    shutil.rmtree(node.config.host.procfs / str(pid))


def test_a_process_is_what_proc_says(procfs: Path) -> None:
    assert read_process(procfs, 100, identify(WEB)) == ProcessInfo(
        100, "nginx", "/usr/sbin/nginx", "container", WEB_ID
    )
    vm = identify(r"/machine.slice/machine-qemu\x2d1\x2dweb.scope")
    assert read_process(procfs, 100, vm) == ProcessInfo(
        100, "nginx", "/usr/sbin/nginx", "vm", "", vm_id=vm.id
    )
    assert read_process(procfs, 100, identify("/a.service")).type == "regular"


def test_what_cannot_be_read_costs_its_own_detail_alone(procfs: Path) -> None:
    (procfs / "100/exe").unlink()
    assert read_process(procfs, 100, identify("/")) == ProcessInfo(100, "nginx", "")
    assert read_process(procfs, 4242, identify("/")) == ProcessInfo(4242, "", "")


def test_an_executable_may_be_called_anything(procfs: Path) -> None:
    write_process(procfs, 100, "x", "/tmp/bad\udcff")
    (procfs / "100/comm").write_bytes(b"bad\xfe\n")
    found = read_process(procfs, 100, identify("/"))
    assert (found.comm, found.exe) == (r"bad\xfe", r"/tmp/bad\xff")


def test_this_process_can_be_read_as_it_is() -> None:
    found = read_process(Path("/proc"), os.getpid(), identify("/"))
    assert found.exe == str(Path("/proc/self/exe").readlink())


def test_processes_share_out_what_their_cgroup_drew(node: Node, procfs: Path) -> None:
    write_process(procfs, 200, "worker")
    samples = run(node, 100, 200)
    assert [*series(samples, JOULES, container_id=WEB_ID).values()] == pytest.approx([5.0, 5.0])
    assert of(samples, JOULES) == pytest.approx(of(samples, "kepler_container_cpu_joules_total"))
    assert of(samples, SECONDS, comm="nginx", exe="/usr/sbin/nginx", type="container") == 1.0
    assert of(samples, "kepler_process_cpu_watts", pid="200") == pytest.approx(1.0)


def test_a_process_that_ended_keeps_its_one_series_for_its_ttl(node: Node) -> None:
    run(node, 100)
    node.source.use(WEB, 1.0, tgid=100)
    end(node, 100)
    for _ in range(3):
        samples = node.tick()
        assert len(series(samples, JOULES)) == 1
        assert of(samples, SECONDS, comm="nginx") == 2.0
    for _ in range(3):
        samples = node.tick()
    assert not series(samples, JOULES)


def test_the_processes_of_another_pid_namespace_are_counted_and_never_named(
    procfs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """PID 100 in this procfs is nginx of a pod, PID 100 in the kernel somebody else."""
    (procfs / "2/comm").write_text("sleep\n")
    node = Node(procfs=procfs, levels=(*NODE, "process"), ttl=20.0)
    assert "does not show the kernel's processes" in caplog.text
    node.source.add(WEB)
    node.tick()
    for _ in range(3):
        samples = run(node, 100, 4242)
    found = series(samples, "kepler_process_cpu_seconds_total")
    assert len(found) == 2
    assert set(found.values()) == {3.0}
    assert labels_of(found, "comm") == {""}


def test_pids_that_are_counted_by_this_very_procfs_are_named_whichever_it_is(procfs: Path) -> None:
    (procfs / "2/comm").write_text("sleep\n")
    books = ProcessLedger(procfs, lambda _: (), Lifetimes(), counts_by_procfs=True)
    assert books.seen()[100] == ProcessInfo(100, "nginx", "/usr/sbin/nginx")
    assert ProcessLedger(procfs, lambda _: (), Lifetimes()).seen() == {}


def test_its_last_moments_after_proc_forgot_it_are_in_the_same_series(node: Node) -> None:
    run(node, 100)
    end(node, 100)
    run(node, 100)
    samples = run(node, 100)
    assert labels_of(series(samples, SECONDS), "comm") == {"nginx"}
    assert of(samples, SECONDS) == 3.0


def test_a_process_that_was_never_seen_in_proc_has_its_pid_alone(node: Node) -> None:
    samples = run(node, 4242)
    assert of(samples, SECONDS, pid="4242", comm="", exe="", container_id=WEB_ID) == 1.0


def test_a_pid_that_is_used_again_between_two_ticks_is_another_process(node: Node, procfs: Path) -> None:
    run(node, 100)
    write_process(procfs, 100, "cc1", "/usr/lib/cc1", start_ticks=999)
    samples = run(node, 100, seconds=2.0)
    assert of(samples, SECONDS, comm="nginx") == 1.0
    assert of(samples, SECONDS, comm="cc1", exe="/usr/lib/cc1") == 2.0
    assert of(samples, "kepler_process_cpu_watts", comm="nginx") == 0.0


def test_a_pid_that_is_used_again_under_the_same_name_goes_on_in_the_series(node: Node, procfs: Path) -> None:
    run(node, 100)
    write_process(procfs, 100, "nginx", "/usr/sbin/nginx", start_ticks=999)
    samples = run(node, 100)
    assert [*series(samples, SECONDS).values()] == [2.0]


def test_a_process_whose_threads_are_in_two_cgroups_is_one_where_it_runs_most(
    node: Node, procfs: Path
) -> None:
    node.source.add("/a.service")
    node.source.use("/a.service", 0.5, tgid=100)
    samples = run(node, 100, seconds=3.0)
    assert [*series(samples, SECONDS, container_id=WEB_ID).values()] == [3.5]


def test_a_name_that_changes_does_not_make_a_second_series(node: Node, procfs: Path) -> None:
    run(node, 100)
    write_process(procfs, 100, "renamed", "/elsewhere")
    assert labels_of(series(run(node, 100), JOULES), "comm") == {"nginx"}


def test_a_process_at_rest_stays_and_is_not_looked_up_again(node: Node, procfs: Path) -> None:
    run(node, 100)
    (procfs / "100/stat").unlink()
    for _ in range(10):
        samples = node.tick()
    assert of(samples, SECONDS, comm="nginx") == 1.0


def test_a_source_that_does_not_tell_processes_apart_has_no_such_series(node: Node) -> None:
    node.source.use(WEB, 1.0)
    samples = node.tick()
    assert of(samples, "kepler_container_cpu_seconds_total") == 1.0
    assert not series(samples, SECONDS)


def test_thirty_thousand_short_lives_leave_nothing_behind(node: Node, procfs: Path) -> None:
    assert node.measurement.processes is not None
    for first in range(1_000, 31_000, 1_000):
        node.source._counts.clear()
        for pid in range(first, first + 1_000):
            node.source.use(WEB, 0.001, tgid=pid)
        node.advance(1.0)
    books = node.measurement.processes
    assert len(books.ledger.balances("process").accounts) <= 5_000
    assert max(map(len, (books._started, books._accounts, books._info, books._cgroup_of))) <= 5_000
    assert node.measurement.evicted > 10_000
    assert of(node.tick(), "podjoule_terminated_evicted_total") == node.measurement.evicted
