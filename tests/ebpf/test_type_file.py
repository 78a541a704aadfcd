"""--ebpf.btf FILE: a file that is of no use is named with its mend, before anything is loaded."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpf import btf, type_file
from ebpf.btf import STRUCT_MEMBERS
from ebpf.errors import SourceUnavailable, UsageError
from ebpf.libbpf import library
from ebpf.type_file import check_against_kernel, usable, wrong_with

# What programs read, in another order and at other places than any kernel has it.
KERNEL = """
enum cgroup_subsys_id { cpuset_cgrp_id, io_cgrp_id, cpu_cgrp_id, cpuacct_cgrp_id };
struct kernfs_node { char pad[24]; unsigned long long id; };
struct cgroup_root { char pad[8]; int hierarchy_id; };
struct cgroup { struct cgroup_root *root; struct kernfs_node *kn; };
struct cgroup_subsys_state { struct cgroup *cgroup; };
struct css_set { struct cgroup *dfl_cgrp; struct cgroup_subsys_state *subsys[16]; };
struct sched_entity { unsigned long long prev_sum_exec_runtime, sum_exec_runtime; };
struct task_struct {
	int tgid, pid, prio, flags;
	struct css_set *cgroups;
	union { struct { long in; struct sched_entity se; }; long other; };
};
struct {
	struct kernfs_node a;
	struct cgroup_root b;
	struct cgroup c;
	struct cgroup_subsys_state d;
	struct css_set e;
	struct task_struct f;
	enum cgroup_subsys_id g;
} kernel;
"""


@pytest.fixture
def needs_libbpf() -> None:
    try:
        library()
    except SourceUnavailable as error:
        pytest.skip(f"needs libbpf: {error}")


def compiled(source: str, into: Path, clang: str) -> Path:
    """An ELF file with the BTF of a source."""
    made = into / "kernel.o"
    command = [clang, "-g", "-O1", "-target", "bpf", "-x", "c", "-", "-c", "-o", str(made)]
    subprocess.run(command, input=source, text=True, check=True)
    return made


@pytest.fixture
def other_kernel(tmp_path: Path, needs_libbpf: None, require_command: Callable[[str], str]) -> Path:
    return compiled(KERNEL, tmp_path, require_command("clang"))


@pytest.fixture
def without_own_types(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(type_file, "OWN_TYPES", tmp_path / "no/vmlinux")


def test_offsets_come_from_the_file(other_kernel: Path) -> None:
    found = btf.offsets(other_kernel)
    assert found.keys() == {*STRUCT_MEMBERS, "CSS_SET_CPU", "CSS_SET_CPUACCT"}
    assert (found["TASK_TGID"], found["TASK_PID"], found["TASK_PRIO"]) == (0, 4, 8)
    assert (found["TASK_SLICE_START"], found["TASK_RUNTIME"]) == (32, 40), "through anonymous members"
    assert (found["CSS_SET_CPU"], found["CSS_SET_CPUACCT"]) == (8 + 2 * 8, 8 + 3 * 8)
    assert wrong_with(other_kernel) == ""


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    told = wrong_with(tmp_path / "vmlinux")
    assert told.startswith(f"{tmp_path}/vmlinux cannot be read (No such file or directory); BTFHub has")
    assert wrong_with(tmp_path).startswith(f"{tmp_path} cannot be read (Is a directory)")


@pytest.mark.parametrize("begin", [b"\xfd7zXZ\0", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"])
def test_a_file_as_it_was_downloaded_is_to_be_unpacked(tmp_path: Path, begin: bytes) -> None:
    file = tmp_path / "5.4.0-generic.btf.tar.xz"
    file.write_bytes(begin + bytes(100))
    assert wrong_with(file) == f"{file} is packed: unpack it (tar -xf, xz -d)"


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"{}"])
def test_a_file_that_is_no_btf_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert wrong_with(file).startswith(f"{file} is no BTF, neither raw nor in an ELF file; BTFHub has")


@pytest.mark.parametrize("content", [b"\x9f\xeb", b"\x9f\xeb\x01\x00" + b"\xff" * 60, b"\x7fELF" + bytes(60)])
def test_a_file_that_only_looks_like_it_is_told(tmp_path: Path, needs_libbpf: None, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert wrong_with(file).startswith(f"{file} does not describe a kernel (loading BTF from {file}: ")


def test_a_file_without_what_programs_read_is_told(
    tmp_path: Path, needs_libbpf: None, require_command: Callable[[str], str]
) -> None:
    lesser = KERNEL.replace("int tgid, pid, prio, flags;", "int pid, prio, flags;")
    file = compiled(lesser, tmp_path, require_command("clang"))
    told = wrong_with(file)
    assert told.startswith(f"{file} does not describe a kernel (struct task_struct has no tgid in this BTF)")


def test_a_kernel_that_knows_its_types_needs_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "vmlinux"
    own.touch()
    monkeypatch.setattr(type_file, "OWN_TYPES", own)
    with caplog.at_level(logging.INFO, "ebpf"):
        assert usable(tmp_path / "nowhere") is None
    assert "--ebpf.btf" in caplog.text
    assert "is not needed" in caplog.text


def test_one_that_does_not_takes_the_file(other_kernel: Path, without_own_types: None) -> None:
    assert usable(other_kernel) == other_kernel
    assert usable(None) is None


def test_a_file_of_no_use_is_a_wrong_command_line(tmp_path: Path, without_own_types: None) -> None:
    with pytest.raises(UsageError, match=r"--ebpf\.btf: .*nowhere cannot be read"):
        usable(tmp_path / "nowhere")


@pytest.mark.parametrize(("answer", "what"), [(1, "the running task"), (2, "its cgroup"), (3, "its clock")])
def test_what_is_not_where_the_file_says_is_told(
    monkeypatch: pytest.MonkeyPatch, answer: int, what: str
) -> None:
    monkeypatch.setattr(type_file, "run_here", lambda _: answer)
    with pytest.raises(UsageError, match=rf"/vmlinux is of another kernel than .*: {what} is not where it"):
        check_against_kernel(7, Path("/vmlinux"))


def test_types_that_fit_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type_file, "run_here", lambda _: 0)
    check_against_kernel(7, Path("/vmlinux"))
