"""Which machine runs in which cgroup, as the processes tell it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from exporter.guests.emulators import running
from tests.programs import program

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
LIBVIRT = r"/machine.slice/machine-qemu\x2d1\x2dweb.scope"


def process(
    procfs: Path, pid: int, *arguments: str, cgroup: str = "/a", hierarchies: tuple[str, ...] = ("0::",)
) -> None:
    folder = procfs / str(pid)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(b"".join(os.fsencode(argument) + b"\0" for argument in arguments))
    (folder / "cgroup").write_bytes(b"".join(os.fsencode(f"{each}{cgroup}\n") for each in hierarchies))


@pytest.mark.parametrize(
    "arguments",
    [
        (
            "/usr/bin/qemu-system-x86_64",
            "-name",
            "guest=web,debug-threads=on",
            "-uuid",
            UUID,
            "-display",
            "none",
        ),
        ("/usr/libexec/qemu-kvm", "-uuid", UUID.upper()),
        ("/usr/bin/kvm", "-id", "100", "-smbios", f"type=1,uuid={UUID}"),
        ("cloud-hypervisor", "--platform", f"num_pci_segments=1,uuid={UUID}"),
    ],
)
def test_the_uuid_stands_on_the_command_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    process(tmp_path, 7, *arguments, cgroup=f"{LIBVIRT}/libvirt/emulator")
    (found,) = running(tmp_path)
    assert found.uuid == UUID
    assert found.is_in(LIBVIRT)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("/usr/bin/qemu-system-x86_64", "-name", "web"),
        ("/usr/bin/qemu-system-x86_64", "-uuid"),
        ("/usr/bin/qemu-system-x86_64", "-uuid", "not-one"),
        ("/usr/bin/qemu-system-x86_64", "-drive", f"file=/x,uuid={UUID}"),
        ("/usr/bin/less", "-uuid", UUID),
        ("/usr/bin/qemu-system-x86_64", "-uuid", "\udcff" * 36),
    ],
)
def test_what_tells_no_machine_is_none(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    process(tmp_path, 7, *arguments)
    assert running(tmp_path) == []


def test_what_has_ended_meanwhile_and_what_is_no_process_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "8").mkdir()
    (tmp_path / "meminfo").touch()
    process(tmp_path, 9, "qemu-kvm", "-uuid", UUID)
    (tmp_path / "9/cgroup").unlink()
    assert running(tmp_path) == []
    assert running(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("seen", "cgroup", "is_in"),
    [
        (LIBVIRT, LIBVIRT, True),
        (f"{LIBVIRT}/libvirt/vcpu0", LIBVIRT, True),
        (f"{LIBVIRT}2", LIBVIRT, False),
        ("/machine.slice", LIBVIRT, False),
        ("/../../.." + LIBVIRT, LIBVIRT, True),
        ("/../../burstable/pod1/cri-2.scope", "/kubepods/burstable/pod1/cri-2.scope", True),
        ("/../../burstable/pod1/cri-2.scope/below", "/kubepods/burstable/pod1/cri-2.scope", True),
        ("/../../burstable/pod1/cri-2.scope", "/kubepods/burstable/pod1/cri-3.scope", False),
        ("/../..", "/kubepods/burstable/pod1/cri-3.scope", False),
    ],
)
def test_a_cgroup_is_recognised_from_within_a_namespace_too(
    tmp_path: Path, seen: str, cgroup: str, is_in: bool
) -> None:
    process(tmp_path, 7, "qemu-kvm", "-uuid", UUID, cgroup=seen, hierarchies=("2:cpu,cpuacct:", "0::"))
    assert running(tmp_path)[0].is_in(cgroup) is is_in


def test_an_emulator_that_runs_is_found_by_the_kernels_own_files() -> None:
    qemu = program("qemu-system-x86_64")
    command = [qemu, "-machine", "none", "-display", "none", "-nodefaults", "-S", "-uuid", UUID]
    with subprocess.Popen(command) as started:
        try:
            deadline = time.monotonic() + 20
            while not (found := [each for each in running(Path("/proc")) if each.uuid == UUID]):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            started.kill()
    own = Path("/proc/self/cgroup").read_text().splitlines()
    assert set(found[0].cgroups) == {line.split(":", 2)[2] for line in own}
