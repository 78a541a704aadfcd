"""What the doctor says of counters where kernels and CPUs differ; which right is kept for CPUs to come."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf import perf_events
from ebpf.capabilities import CapabilitySets, mask_of
from ebpf.perf_events import Event
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Ebpf, Host
from exporter.doctor.finding import Machine
from exporter.doctor.host_checks import check_pmu
from exporter.doctor.kernel_checks import check_btf
from exporter.tick import privileges
from exporter.tick.privileges import still_needed

ALL = {"cycles": 0, "instructions": 0, "cache_misses": 0}
DEVICES, CPUS = "bus/event_source/devices", "devices/system/cpu"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One with a PMU that is yet to be named, on which all events can be opened."""
    return Machine(sysfs=tmp_path / "sys", procfs=tmp_path / "proc", try_events=lambda _: ALL)


def with_pmu(machine: Machine, name: str, cpus: str = "") -> Machine:
    put(machine.sysfs / DEVICES / name / "type", "4\n")
    if cpus:
        put(machine.sysfs / DEVICES / name / "cpus", f"{cpus}\n")
    return machine


def refusing(machine: Machine, number: int, *fields: str) -> Machine:
    return replace(machine, try_events=lambda _: {**ALL, **dict.fromkeys(fields, number)})


def test_an_arm64_cpu_without_cache_misses_is_not_told_to_get_a_virtual_pmu(machine: Machine) -> None:
    check = check_pmu(refusing(with_pmu(machine, "armv8_pmuv3"), errno.ENOENT, "cache_misses"))
    assert check.found == "armv8_pmuv3 without cache_misses; they are not exported"
    assert check.mend.startswith("none needed: perf takes L1D_CACHE_REFILL for it on arm64")


def test_another_cpu_that_lacks_one_event_counts_the_others(machine: Machine) -> None:
    check = check_pmu(refusing(with_pmu(machine, "cpu"), errno.ENOENT, "cache_misses"))
    assert check.mend == "none needed: this CPU has no such event, and what it has is counted"


@pytest.mark.parametrize("pmu", ["armv8_pmuv3", "cpu"])
def test_one_that_lacks_all_is_told_to_get_one(machine: Machine, pmu: str) -> None:
    check = check_pmu(refusing(with_pmu(machine, pmu), errno.ENOENT, *ALL))
    assert "give the VM a virtual PMU" in check.mend


def test_the_kinds_of_cores_of_a_hybrid_cpu_are_named_with_their_cpus(machine: Machine) -> None:
    with_pmu(machine, "cpu_core", "0-7")
    check = check_pmu(with_pmu(machine, "cpu_atom", "8-15"))
    assert check.status == "ok"
    assert check.found == "cycles, instructions, cache_misses on cpu_atom (CPUs 8-15), cpu_core (CPUs 0-7)"


def test_an_event_is_tried_on_each_kind_of_core(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with_pmu(machine, "cpu_core", "0-1")
    put(with_pmu(machine, "cpu_atom", "2-3").sysfs / DEVICES / "cpu_atom/type", "10\n")
    put(machine.sysfs / CPUS / "online", "0-3\n")
    tried: list[tuple[int, int]] = []

    def open_event(event: Event, cpu: int) -> int:
        tried.append((event.config >> 32, cpu))
        if event.config == 10 << 32 | 3:
            raise OSError(errno.ENOENT, "no cache misses on this kind")
        return os.open("/dev/null", os.O_RDONLY)

    monkeypatch.setattr(perf_events, "open_event", open_event)
    assert perf_events.try_events(machine.sysfs) == {**ALL, "cache_misses": errno.ENOENT}
    assert set(tried) == {(4, 0), (10, 2)}


def test_cpus_that_may_come_are_told(machine: Machine) -> None:
    with_pmu(machine, "cpu")
    put(machine.sysfs / CPUS / "possible", "0-7\n")
    put(machine.sysfs / CPUS / "online", "0-3,5\n")
    assert check_pmu(machine).found.endswith("on cpu; 3 more CPUs may come: theirs are opened then")
    put(machine.sysfs / CPUS / "online", "0-7\n")
    assert check_pmu(machine).found.endswith("on cpu")


@pytest.mark.parametrize(("level", "mend"), [("2", "run as root, give CAP_PERFMON"), ("3", "CAP_SYS_ADMIN")])
def test_events_that_debians_patch_refuses_have_another_mend(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, level: str, mend: str
) -> None:
    held = mask_of(["PERFMON", "BPF"])
    monkeypatch.setattr(perf_events, "read_sets", lambda: CapabilitySets(held, held, 0))
    put(machine.procfs / "sys/kernel/perf_event_paranoid", level)
    check = check_pmu(refusing(with_pmu(machine, "cpu"), errno.EACCES, *ALL))
    assert check.found == "no right to open cycles, instructions, cache_misses"
    assert mend in check.mend
    assert ("sysctl kernel.perf_event_paranoid=2" in check.mend) is (level == "3")


def test_without_btf_the_mend_is_a_file_or_bcc(machine: Machine) -> None:
    check = check_btf(machine)
    assert check.status == "warn"
    assert "--ebpf.btf FILE" in check.mend
    assert "bcc" in check.mend


def test_a_file_stands_in_for_the_kernel_where_it_is_of_use(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "5.4.btf"
    assert check_btf(replace(machine, try_types=lambda _: ""), file).found == f"{file}, in the kernel's stead"
    check = check_btf(replace(machine, try_types=lambda file: f"{file} is packed"), file)
    assert (check.status, check.found) == ("warn", f"{file} is packed")
    assert check.mend == "give the BTF of this very kernel, unpacked, or use bcc"


def test_the_kernels_own_types_go_first(machine: Machine, tmp_path: Path) -> None:
    own = put(machine.sysfs / "kernel/btf/vmlinux", "")
    assert check_btf(machine, tmp_path / "nowhere").found == str(own)


@pytest.mark.parametrize(
    ("online", "events", "loader", "is_kept"),
    [
        ("0-3", ALL, "auto", True),
        ("0-7", ALL, "auto", False),
        ("0-3", dict.fromkeys(ALL, errno.ENOENT), "auto", False),
        ("0-3", ALL, "none", False),
    ],
    ids=["room for more", "all are online", "nothing to count", "no programs"],
)
def test_the_right_to_open_events_is_kept_for_cpus_that_may_come(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    online: str,
    events: dict[str, int],
    loader: str,
    is_kept: bool,
) -> None:
    monkeypatch.setattr(privileges, "try_events", lambda _: events)
    put(tmp_path / CPUS / "possible", "0-7\n")
    put(tmp_path / CPUS / "online", f"{online}\n")
    config = Config(host=Host(sysfs=tmp_path), ebpf=Ebpf(loader=loader))
    assert ("PERFMON" in still_needed(config, (6, 1))) is is_kept
