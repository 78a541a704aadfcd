"""Starting where something is missing: a clear line, and the next best way or exit code 2."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.servers import ROOT
from tests.ebpf.test_type_file import KERNEL, compiled
from tests.estimator.meters.rapl_tree import RaplTree

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def source(self) -> str:
        return str(json.loads(self.out)["source"])

    @property
    def cpu_seconds(self) -> float:
        return sum(float(row["cpu_seconds"]) for row in json.loads(self.out)["workloads"])


def podjoule(*arguments: str, before: str = "true", wrapper: str = "unshare --mount") -> Ended:
    """A command in a mount namespace of its own, after some change to what is mounted there."""
    command = shlex.join([sys.executable, "-m", "exporter.commands.cli", *arguments])
    done = subprocess.run(
        [*shlex.split(wrapper), "sh", "-c", f"{before} && exec {command}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def snapshot(*arguments: str, before: str = "true", wrapper: str = "unshare --mount") -> Ended:
    return podjoule(
        "snapshot", "--duration=500ms", "--format=json", *arguments, before=before, wrapper=wrapper
    )


def assert_counts(ended: Ended) -> None:
    assert ended.code == 0, ended.err
    assert ended.cpu_seconds > 0
    assert "Traceback" not in ended.err


def assert_refused(ended: Ended, *words: str) -> None:
    assert ended.code == 2, (ended.code, ended.err)
    assert "Traceback" not in ended.err
    last = ended.err.strip().splitlines()[-1]
    for word in words:
        assert word in last


def test_without_powercap_the_model_serves_and_a_line_says_so(tmp_path: Path) -> None:
    ended = snapshot("--host.sysfs", str(tmp_path))
    assert_counts(ended)
    assert ended.source == "model"
    assert f"no meter: no RAPL zone in {tmp_path}/class/powercap" in ended.err


def test_with_a_meter_it_is_the_source(tmp_path: Path) -> None:
    RaplTree.two_sockets(tmp_path / "sys")
    ended = snapshot("--host.sysfs", str(tmp_path / "sys"))
    assert_counts(ended)
    assert ended.source == "rapl"


def test_without_btf_the_next_source_serves() -> None:
    ended = snapshot(before="mount -t tmpfs none /sys/kernel/btf")
    assert_counts(ended)
    assert "core: CO-RE programs cannot run" in ended.err
    assert "no BTF" in ended.err


NO_BTF = "mount -t tmpfs none /sys/kernel/btf"


def test_without_btf_the_core_loader_alone_is_refused() -> None:
    ended = snapshot("--ebpf.loader=core", before=NO_BTF)
    assert_refused(ended, "no BTF (/sys/kernel/btf/vmlinux)", "--ebpf.btf FILE", "--ebpf.loader bcc")


@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_without_btf_a_file_serves(tmp_path: Path, loader: str) -> None:
    file = shutil.copy("/sys/kernel/btf/vmlinux", tmp_path / "this.btf")
    ended = snapshot(f"--ebpf.loader={loader}", f"--ebpf.btf={file}", before=NO_BTF)
    assert_counts(ended)
    assert "trying the next source" not in ended.err
    assert "counting CPU time from cpu.stat" not in ended.err


def test_with_btf_the_file_is_not_needed() -> None:
    ended = snapshot("--ebpf.loader=core", "--ebpf.btf=/nowhere")
    assert_counts(ended)
    assert "--ebpf.btf /nowhere is not needed: this kernel knows its own types" in ended.err


def test_a_file_that_is_missing_or_no_btf_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert_refused(snapshot(f"--ebpf.btf={file}", before=NO_BTF), f"--ebpf.btf: {file} cannot be read")
    file.write_text("no BTF")
    assert_refused(snapshot(f"--ebpf.btf={file}", before=NO_BTF), f"--ebpf.btf: {file} is no BTF")


@pytest.mark.parametrize("loader", ["auto", "bcc"])
def test_a_file_of_another_kernel_is_refused_by_what_the_running_one_says(
    tmp_path: Path, loader: str, require_command: Callable[[str], str]
) -> None:
    file = compiled(KERNEL, tmp_path, require_command("clang"))
    ended = snapshot(f"--ebpf.loader={loader}", f"--ebpf.btf={file}", before=NO_BTF)
    assert_refused(ended, f"--ebpf.btf: {file} is of another kernel than {os.uname().release}")


def test_the_doctor_says_what_to_do_without_btf(tmp_path: Path) -> None:
    told = podjoule("doctor", before=NO_BTF)
    assert "give the kernel's types with --ebpf.btf FILE" in told.out
    file = shutil.copy("/sys/kernel/btf/vmlinux", tmp_path / "this.btf")
    told = podjoule("doctor", f"--ebpf.btf={file}", before=NO_BTF)
    assert f"{file}, in the kernel's stead" in told.out
    assert "from core" in told.out


@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_without_tracefs_nothing_is_lost(loader: str) -> None:
    unmount = "(umount -R /sys/kernel/debug; umount /sys/kernel/tracing; true) 2>/dev/null"
    ended = snapshot(f"--ebpf.loader={loader}", before=unmount)
    assert_counts(ended)
    assert "trying the next source" not in ended.err


def test_without_cgroup2_but_with_v1_that_one_is_followed() -> None:
    if not Path("/sys/fs/cgroup/cpuacct").exists():
        pytest.skip("hardware: this machine has no v1 cpuacct hierarchy")
    ended = snapshot(before="umount /sys/fs/cgroup/unified")
    assert_counts(ended)


def test_without_cgroup2_asked_for_it_is_refused() -> None:
    unmount = "(umount -R /sys/fs/cgroup/unified || umount -R /sys/fs/cgroup) 2>/dev/null"
    assert_refused(
        snapshot("--ebpf.cgroup-hierarchy=v2", before=unmount), "no cgroup2 mount", "--host.cgroupfs"
    )


def test_without_any_cgroup_hierarchy_it_is_refused() -> None:
    assert_refused(snapshot(before="umount -R /sys/fs/cgroup"), "no cgroup hierarchy", "mount one")


def test_as_a_user_without_rights_the_usage_files_serve() -> None:
    # a user namespace without a mapping: an unknown uid and no capability that the kernel would honour
    ended = snapshot(wrapper="unshare --user")
    assert_counts(ended)
    assert "needs CAP_BPF and CAP_PERFMON (or root)" in ended.err
    assert "counting CPU time from cpu.stat" in ended.err
    assert "bcc" not in ended.err, "what BPF lacks, bcc lacks too"


def test_as_a_user_without_rights_bpf_asked_for_is_refused() -> None:
    assert_refused(snapshot("--ebpf.loader=core", wrapper="unshare --user"), "CAP_BPF")


def test_a_meter_that_may_not_be_read_says_what_it_takes(tmp_path: Path) -> None:
    RaplTree.two_sockets(tmp_path / "sys")
    for energy in tmp_path.rglob("energy_uj"):
        energy.chmod(0o400)
        os.chown(energy, 1, 1)
    ended = snapshot("--host.sysfs", str(tmp_path / "sys"), wrapper="unshare --user")
    assert_counts(ended)
    assert ended.source == "model"
    assert "CAP_DAC_READ_SEARCH" in ended.err


def test_a_taken_port_is_refused_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = podjoule("run", f"--web.listen-address={address}")
    assert_refused(ended, address, "Address already in use")
    assert "energy is" not in ended.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("monitor:\n  intervall: 5s\n", ["monitor.intervall", "monitor.interval"]),
        ("monitor:\n  interval: fast\n", ["monitor.interval", "fast"]),
        ("monitor: [\n", [":2:", "not valid YAML"]),
    ],
)
def test_a_bad_configuration_file_is_refused_by_name(tmp_path: Path, content: str, words: list[str]) -> None:
    file = tmp_path / "podjoule.yaml"
    file.write_text(content)
    assert_refused(podjoule("run", "--config.file", str(file)), str(file), *words)


def test_a_model_file_that_must_not_be_used_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text('{"schema": "podjoule.model/9"}')
    assert_refused(snapshot("--model", str(file)), str(file), "schema")
