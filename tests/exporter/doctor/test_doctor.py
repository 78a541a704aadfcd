"""The doctor over made-up machines, and on this one."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from estimator.meters.fake import FakeMeter
from estimator.model.file import render_model
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Ebpf
from exporter.doctor.doctor import as_json, as_table, can_run, doctor, examine
from exporter.doctor.finding import Check, Machine
from exporter.doctor.kernel_checks import check_capabilities
from exporter.doctor.loader_checks import find_headers
from exporter.doctor.meter_checks import TriedMeters, check_meters
from exporter.tick.meters import OPENERS
from tests.estimator.usages import reading
from tests.exporter.tick.test_power import LINEAR

RELEASE = "6.1.0-18-amd64"
NAMES = ("BPF_SYSCALL", "BPF_JIT", "DEBUG_INFO_BTF", "CGROUPS", "PERF_EVENTS")
ALL_SET = "".join(f"CONFIG_{name}=y\n" for name in NAMES)
EVERY_RIGHT = "Name:\tpodjoule\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n"
COUNTED = {"cycles": 0, "instructions": 0, "cache_misses": 0}


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def machine(tmp_path) -> Machine:
    """A bare-metal machine on which all is well."""
    sysfs, procfs, cgroupfs = tmp_path / "sys", tmp_path / "proc", tmp_path / "cgroup"
    put(procfs / "sys/kernel/osrelease", f"{RELEASE}\n")
    put(procfs / "self/status", EVERY_RIGHT)
    put(procfs / "mounts", "tracefs /sys/kernel/tracing tracefs rw 0 0\n")
    put(procfs / "self/mountinfo", f"31 23 0:28 / {cgroupfs} rw - cgroup2 cgroup2 rw\n")
    put(procfs / "cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\n")
    put(cgroupfs / "cgroup.controllers", "cpu\n")
    put(cgroupfs / "cpu.stat", "usage_usec 12\n")
    put(tmp_path / f"boot/config-{RELEASE}", ALL_SET)
    put(sysfs / "kernel/btf/vmlinux", b"\x9f\xeb")
    put(sysfs / "bus/event_source/devices/cpu/type", "4\n")
    put(sysfs / "class/powercap/intel-rapl:0/energy_uj", "123\n")
    put(sysfs / "class/powercap/intel-rapl:0/name", "package-0\n")
    put(sysfs / "class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n")
    put(tmp_path / "bcc/libbcc.py", "")
    put(tmp_path / f"modules/{RELEASE}/build/Makefile", "")
    return Machine(
        sysfs=sysfs,
        procfs=procfs,
        cgroupfs=cgroupfs,
        boot=tmp_path / "boot",
        modules=tmp_path / "modules",
        sources=tmp_path / "sources",
        core_object=put(tmp_path / "sched_switch.bpf.o", b"\x7fELF"),
        try_bpf=lambda: 0,
        try_events=lambda _sysfs: COUNTED,
        try_library=lambda _name: "",
        try_programs=lambda _options: "",
        find_bcc=lambda: tmp_path / "bcc",
    )


def checks_of(machine: Machine, loader: str = "auto", hierarchy: str = "auto") -> dict[str, Check]:
    config = Config(ebpf=Ebpf(loader=loader, cgroup_hierarchy=hierarchy))
    return {check.name: check for check in examine(machine, config)}


def assert_warned(check: Check, *parts: str) -> None:
    assert check.status == "warn"
    assert check.mend
    assert "\n" not in check.found + check.mend
    for part in parts:
        assert part in f"{check.found} {check.mend}"


def test_programs_that_the_kernel_refuses_are_found_before_a_run_is(machine: Machine) -> None:
    """lockdown=confidentiality lets the smallest program in and refuses one that reads the kernel."""
    said = "CO-RE programs cannot run: Invalid argument (the verifier: cannot use helper x#113)"
    checks = checks_of(replace(machine, try_programs=lambda _options: said))
    assert checks["bpf()"].status == "ok"
    assert (checks["programs"].status, checks["programs"].found) == ("warn", said)
    assert checks["counters"].found in ("from bcc", "from cpu.stat")


def test_on_a_whole_machine_all_is_well(machine):
    checks = checks_of(machine)
    assert {check.status for check in checks.values()} == {"ok"}
    assert {check.mend for check in checks.values()} == {""}
    assert checks["counters"] == Check("counters", "ok", "from core", required=True)
    assert checks["rapl"].found == "package-0"
    assert can_run(list(checks.values()))


def test_an_old_kernel_is_told_and_bcc_serves(machine):
    put(machine.procfs / "sys/kernel/osrelease", "4.19.0-27-amd64\n")
    checks = checks_of(machine)
    assert_warned(checks["kernel"], "4.19.0", "5.10")
    assert checks["counters"].found == "from bcc"


@pytest.mark.parametrize("text", ["", "rubbish\n"])
def test_a_kernel_without_a_release_is_told(machine, text):
    put(machine.procfs / "sys/kernel/osrelease", text)
    assert_warned(checks_of(machine)["kernel"])


def test_what_the_kernel_lacks_is_named(machine):
    put(machine.boot / f"config-{RELEASE}", ALL_SET.replace("CONFIG_DEBUG_INFO_BTF=y", "# not set"))
    assert_warned(checks_of(machine)["kernel config"], "CONFIG_DEBUG_INFO_BTF")


def test_the_running_kernels_own_configuration_goes_first(machine):
    put(machine.procfs / "config.gz", gzip.compress(ALL_SET.replace("CONFIG_BPF_JIT=y\n", "").encode()))
    assert_warned(checks_of(machine)["kernel config"], "CONFIG_BPF_JIT")


@pytest.mark.parametrize("content", [None, b"", b"not gzip", gzip.compress(ALL_SET.encode(), mtime=0)[:-9]])
def test_without_a_readable_configuration_it_is_a_warning(machine, content):
    (machine.boot / f"config-{RELEASE}").unlink()
    if content is not None:
        put(machine.procfs / "config.gz", content)
    assert_warned(checks_of(machine)["kernel config"], "config.gz")


def test_without_btf_bcc_serves(machine):
    (machine.sysfs / "kernel/btf/vmlinux").unlink()
    checks = checks_of(machine)
    assert_warned(checks["btf"], "CONFIG_DEBUG_INFO_BTF")
    assert checks["counters"].found == "from bcc"


@pytest.mark.parametrize(
    ("failed", "parts"),
    [(errno.EPERM, ("EPERM", "CAP_BPF")), (errno.ENOSYS, ("ENOSYS", "CONFIG_BPF_SYSCALL"))],
)
def test_without_bpf_cpu_stat_serves(machine, failed, parts):
    checks = checks_of(replace(machine, try_bpf=lambda: failed))
    assert_warned(checks["bpf()"], *parts)
    assert checks["counters"].found == "from cpu.stat"


@pytest.mark.parametrize("name", ["libbpf.so.1", "sched_switch.bpf.o"])
def test_what_core_loads_is_named_where_it_is_missing(machine, name):
    if name == "libbpf.so.1":
        without = replace(machine, try_library=lambda wanted: "not found" if wanted == name else "")
        check = checks_of(without)["libbpf"]
        assert_warned(check, "libbpf1")
    else:
        machine.core_object.unlink()
        assert_warned(checks_of(machine)["core object"], "make ebpf/kernel/sched_switch.bpf.o")


def test_missing_bcc_matters_only_where_core_cannot_serve(machine):
    without = replace(machine, find_bcc=lambda: None)
    assert checks_of(without)["bcc"].ok
    assert_warned(checks_of(without, loader="bcc")["bcc"], "python3-bpfcc")
    machine.core_object.unlink()
    assert_warned(checks_of(without)["bcc"], "python3-bpfcc")


def test_headers_are_this_kernels_or_named_or_kheaders_or_any(machine, tmp_path):
    machine.core_object.unlink()
    (machine.modules / RELEASE).rename(machine.modules / "6.1.0-99-amd64")
    assert "6.1.0-99" in checks_of(machine)["bcc"].found
    put(machine.sysfs / "kernel/kheaders.tar.xz", "")
    assert "kheaders" in checks_of(machine)["bcc"].found
    named = replace(machine, environ={"BCC_KERNEL_SOURCE": str(tmp_path)})
    assert checks_of(named)["bcc"].found.endswith(f"headers in {tmp_path}")


def test_bcc_without_headers_is_told(machine):
    machine.core_object.unlink()
    empty = replace(machine, modules=machine.modules / "none")
    assert_warned(checks_of(empty)["bcc"], "linux-headers")


def test_tracefs_matters_only_to_bcc(machine):
    put(machine.procfs / "mounts", "proc /proc proc rw 0 0\n")
    assert checks_of(machine)["tracefs"].ok
    assert_warned(checks_of(machine, loader="bcc")["tracefs"], "mount -t tracefs")


@pytest.mark.parametrize(
    ("release", "uid", "effective", "missing"),
    [
        (RELEASE, 0, 0, "CAP_BPF, CAP_PERFMON"),
        (RELEASE, 0, 1 << 39, "CAP_PERFMON"),
        (RELEASE, 0, 1 << 21, ""),
        (RELEASE, 65534, 1 << 39 | 1 << 38, "CAP_DAC_READ_SEARCH"),
        (RELEASE, 65534, 1 << 39 | 1 << 38 | 1 << 2, ""),
        (RELEASE, 65534, 0, "CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH"),
        ("5.10.0-1", 0, 1 << 39 | 1 << 38, "CAP_SYS_RESOURCE"),
        ("5.4.0-1", 0, 1 << 39 | 1 << 24, "CAP_SYS_ADMIN"),
    ],
)
def test_the_rights_that_are_wanted_are_named(machine, release, uid, effective, missing):
    put(machine.procfs / "sys/kernel/osrelease", f"{release}\n")
    put(machine.procfs / "self/status", f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t{effective:016x}\n")
    check = checks_of(machine)["capabilities"]
    assert check.found.startswith(f"without {missing}: ") if missing else check.ok
    assert check.mend == (f"run as root or give {missing}" if missing else "")


def test_what_a_missing_right_costs_is_told(machine):
    put(machine.procfs / "self/status", f"Uid:\t1\t1\t1\t1\nCapEff:\t{1 << 39:016x}\n")
    found = checks_of(machine)["capabilities"].found
    assert found == (
        "without CAP_PERFMON, CAP_DAC_READ_SEARCH: CPU time from cpu.stat alone, no counters;"
        " energy_uj cannot be read, a model stands in"
    )


def test_executables_of_others_take_a_right_where_processes_are_told_apart(machine):
    put(machine.procfs / "self/status", f"Uid:\t0\t0\t0\t0\nCapEff:\t{3 << 38:016x}\n")
    assert check_capabilities(machine).ok
    assert_warned(check_capabilities(machine, by_process=True), "CAP_SYS_PTRACE", "exe")


def test_without_status_the_rights_cannot_be_told(machine):
    (machine.procfs / "self/status").unlink()
    assert_warned(checks_of(machine)["capabilities"])


def test_no_pmu_says_what_is_lost_and_no_right_says_which(machine):
    absent = dict.fromkeys(COUNTED, errno.ENOENT)
    assert_warned(
        checks_of(replace(machine, try_events=lambda _: absent))["pmu"], "without cycles", "CPU time"
    )
    (machine.sysfs / "bus/event_source/devices/cpu/type").unlink()
    (machine.sysfs / "bus/event_source/devices/cpu").rmdir()
    assert_warned(checks_of(replace(machine, try_events=lambda _: absent))["pmu"], "no hardware counters")
    barred = dict.fromkeys(COUNTED, errno.EACCES)
    assert_warned(checks_of(replace(machine, try_events=lambda _: barred))["pmu"], "perf_event_paranoid")


def test_arm_counts_on_its_own_pmu(machine):
    (machine.sysfs / "bus/event_source/devices/cpu").rename(
        machine.sysfs / "bus/event_source/devices/armv8_pmuv3_0"
    )
    assert checks_of(machine)["pmu"].found == "cycles, instructions, cache_misses on armv8_pmuv3_0"


def test_both_hierarchies_are_told_and_the_followed_one_first(machine):
    v1, v2 = machine.cgroupfs / "cpu,cpuacct", machine.cgroupfs / "unified"
    put(v1 / "cpuacct.usage", "5\n")
    put(v2 / "cpu.stat", "usage_usec 5\n")
    put(
        machine.procfs / "self/mountinfo",
        f"32 31 0:29 / {v1} rw - cgroup cgroup rw,cpu,cpuacct\n41 31 0:38 / {v2} rw - cgroup2 cgroup2 rw\n",
    )
    put(machine.procfs / "cgroups", "#name\thierarchy\ncpu\t4\t9\t1\ncpuacct\t4\t9\t1\n")
    checks = checks_of(machine)
    assert checks["cgroups"].found == f"v1 cpuacct at {v1} (also v2 at {v2})"
    assert checks["cpu.stat"].found == str(v1 / "cpuacct.usage")
    assert checks_of(machine, hierarchy="v2")["cpu.stat"].found == str(v2 / "cpu.stat")


def test_rapl_is_missing_barred_or_broken(machine, monkeypatch):
    energy = machine.sysfs / "class/powercap/intel-rapl:0/energy_uj"
    put(energy, "rubbish\n")
    assert_warned(checks_of(machine)["rapl"], "intel-rapl:0", "model")
    real = os.open

    def barred(path, *arguments, **options):
        if path == str(energy):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", barred)
        assert_warned(checks_of(machine)["rapl"], "is denied", "CAP_DAC_READ_SEARCH")
    energy.unlink()
    assert_warned(checks_of(machine)["rapl"], "no RAPL zone", "model")
    none = replace(machine, sysfs=machine.sysfs / "none")
    assert_warned(checks_of(none)["rapl"], "no RAPL zone", "class/powercap", "model")


def meters_of(zones: dict[str, list[str]], watts: dict[str, float] | None = None, **unserving: str) -> Check:
    by_name = {(name, "package"): each for name, each in (watts or {}).items()}
    return check_meters(TriedMeters(zones, by_name, unserving))


def test_it_says_which_meter_serves_each_zone_and_how_far_another_is_apart(machine):
    assert checks_of(machine)["meters"] == Check("meters", "ok", "package by rapl")
    zones = {"package": ["perf", "rapl"], "dram": ["perf"]}
    assert meters_of(zones, {"perf": 40.0, "rapl": 40.1}) == Check(
        "meters", "ok", "package by perf, preferred to rapl, 0.3 % apart; dram by perf"
    )
    assert_warned(meters_of(zones, {"perf": 40.0, "rapl": 50.0}), "25.0 % apart", "--meters.preferred")
    assert meters_of(zones).found == "package by perf, preferred to rapl; dram by perf"


def test_a_meter_that_is_there_and_does_not_serve_is_told_with_its_reason():
    reason = "no event of power serves: Permission denied: kernel.perf_event_paranoid is 3"
    found = meters_of({"package": ["rapl"]}, perf=reason)
    assert_warned(found, f"package by rapl; perf does not serve: {reason}", "leave it out")


def test_two_meters_of_a_zone_are_read_at_the_same_moments_by_what_run_would_open(machine, monkeypatch):
    ticks = [[reading(50_000_000 * n, float(n), path="b")] for n in range(9)]
    monkeypatch.setattr(
        "exporter.tick.meters.OPENERS", {**OPENERS, "perf": lambda _config, _cpu: [FakeMeter(ticks, "perf")]}
    )
    slept = []
    monkeypatch.setattr("exporter.doctor.meter_checks.time.sleep", slept.append)
    checks = checks_of(machine)
    assert (checks["meters"].found, slept) == ("package by perf, preferred to rapl", [1.0])
    put(machine.sysfs / "class/powercap/intel-rapl:0/name", "rubbish\n")
    checks = checks_of(machine)
    assert checks["meters"].found == "package by perf"
    assert checks["model"].found == "not needed: energy is measured"
    (machine.sysfs / "class/powercap").rename(machine.sysfs / "class/none")
    assert checks_of(machine)["rapl"].found.endswith("class/powercap: not needed, see meters")


def test_amds_core_is_left_out_with_a_word(machine):
    for file, text in (("name", "core"), ("energy_uj", "5"), ("max_energy_range_uj", "262143328850")):
        put(machine.sysfs / f"class/powercap/intel-rapl:0:0/{file}", f"{text}\n")
    put(machine.procfs / "cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\n")
    rapl = checks_of(machine)["rapl"]
    assert rapl.found.startswith("package-0; ")
    assert "intel-rapl:0:0 is left out: on AMD, core is the energy of one core" in rapl.found


def test_rapl_is_found_where_its_zones_are_nested(machine, tmp_path):
    """As below devices/virtual/powercap, which is what a container has mounted."""
    nested = tmp_path / "powercap/intel-rapl/intel-rapl:0"
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "1000000"), ("energy_uj", "12")):
        put(nested / name, f"{text}\n")
    assert checks_of(replace(machine, powercap=tmp_path / "powercap"))["rapl"].ok


def test_bcc_takes_the_distributions_headers_where_no_kernel_has_its_own(machine, tmp_path):
    put(tmp_path / "src/linux-headers-6.1.0-9-common/Makefile", "")
    merged = replace(machine, modules=tmp_path / "none", sources=tmp_path / "src")
    assert find_headers(merged) == tmp_path / "src/linux-headers-6.1.0-9-common"


def test_without_any_source_the_exporter_cannot_run(machine, tmp_path):
    bare = Machine(
        sysfs=tmp_path / "no-sys",
        procfs=tmp_path / "no-proc",
        cgroupfs=tmp_path / "no-cgroup",
        boot=tmp_path / "no-boot",
        modules=tmp_path / "no-modules",
        sources=tmp_path / "no-sources",
        core_object=tmp_path / "no-object",
        try_bpf=lambda: errno.EPERM,
        try_library=lambda name: f"{name}: cannot open shared object file",
        find_bcc=lambda: None,
    )
    checks = examine(bare, Config())
    assert not can_run(checks)
    assert checks[-1].name == "counters"
    assert checks[-1].status == "fail"
    assert checks[-1].required
    assert "cpu.stat lacks cpu.stat" in checks[-1].found
    assert checks[-1].mend


@pytest.mark.parametrize(
    ("loader", "serves"), [("auto", True), ("none", True), ("core", False), ("bcc", False)]
)
def test_the_loader_asked_for_decides_what_may_serve(machine, loader, serves):
    check = checks_of(replace(machine, try_bpf=lambda: errno.EPERM), loader=loader)["counters"]
    assert check.ok is serves
    assert serves or loader in check.found


def test_a_table_has_a_line_a_check_and_json_the_same(machine):
    checks = examine(replace(machine, find_bcc=lambda: None), Config())
    lines = as_table(checks).splitlines()
    assert len(lines) == len(checks)
    assert lines[-1].split() == ["ok", "counters", "from", "core"]
    document = json.loads(as_json(checks))
    assert document["can_run"] is True
    assert document["checks"][-1] == {
        "name": "counters",
        "status": "ok",
        "found": "from core",
        "mend": "",
        "required": True,
    }


def test_on_this_machine_it_answers(capsys):
    code = doctor(Config(), "json", {})
    document = json.loads(capsys.readouterr().out)
    assert code == (0 if document["can_run"] else 1)
    assert all(check["mend"] or check["status"] == "ok" for check in document["checks"])


@pytest.mark.live
def test_on_a_machine_with_bpf_core_serves(require_root_bpf, capsys):
    assert doctor(Config(), "table", {}) == 0
    assert "from core" in capsys.readouterr().out


def test_a_model_that_cannot_serve_is_told(machine: Machine, tmp_path: Path) -> None:
    assert checks_of(machine)["model"].found == "not needed: energy is measured"
    shutil.rmtree(machine.sysfs / "class/powercap")
    put(machine.sysfs / "devices/system/cpu/online", "0-3\n")
    assert checks_of(machine)["model"].found.startswith("power-from-specification: ")

    counters = put(tmp_path / "m.json", render_model(LINEAR))
    config = Config(model=str(counters))
    check = {check.name: check for check in examine(machine, config)}["model"]
    assert check.ok
    virtual = replace(machine, try_events=lambda _sysfs: dict.fromkeys(COUNTED, errno.ENOENT))
    check = {check.name: check for check in examine(virtual, config)}["model"]
    assert_warned(check, "cycles cannot be counted; another stands in", "train one from what is counted")

    gone = Config(model=str(tmp_path / "gone.json"))
    checks = examine(machine, gone)
    assert {check.name: check for check in checks}["model"].status == "fail"
    assert not can_run(checks)
