"""What the CO-RE loader says where it cannot load, and that it leaves nothing open."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from ebpf import bpf_maps, core_loader, cpu_events, libbpf
from ebpf.capabilities import kernel_version
from ebpf.core_loader import load
from ebpf.errors import SourceUnavailable
from ebpf.event_groups import Opened
from ebpf.hierarchy import Hierarchy
from ebpf.perf_events import HARDWARE
from ebpf.program import ProgramOptions
from tests.ebpf.test_event_groups import is_open

OPTIONS = ProgramOptions(Hierarchy(2, Path("/sys/fs/cgroup")))


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two events, opened on two CPUs; no kernel is asked for anything."""
    made = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    fields = ("cycles", "instructions")
    opened = {cpu: Opened(dict(zip(fields, made[2 * cpu :], strict=False))) for cpu in (0, 1)}
    monkeypatch.setattr(
        cpu_events, "open_all", lambda *_: ({name: HARDWARE[name] for name in fields}, opened)
    )
    monkeypatch.setattr(libbpf, "possible_cpus", lambda: 2)
    monkeypatch.setattr(bpf_maps, "has_ring_buffers", lambda: True)
    return made


def test_a_missing_object_says_how_to_make_it(
    monkeypatch: pytest.MonkeyPatch, descriptors: list[int]
) -> None:
    monkeypatch.setattr(core_loader, "OBJECT", "nowhere.bpf.o")
    with pytest.raises(
        SourceUnavailable,
        match=r"CO-RE object ebpf/kernel/nowhere\.bpf\.o is missing: run `make ebpf/kernel/nowhere\.bpf\.o`",
    ):
        load(OPTIONS)
    assert not any(map(is_open, descriptors))


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (1, "needs CAP_BPF and CAP_PERFMON"),
        (13, "needs CAP_BPF and CAP_PERFMON"),
        (3, "no BTF .*: give its types with --ebpf.btf FILE, or use --ebpf.loader bcc"),
        (2, "no BTF .*: give its types with --ebpf.btf FILE, or use --ebpf.loader bcc"),
        (7, "--log.level debug shows what libbpf says"),
    ],
)
def test_an_errno_becomes_a_mend(
    monkeypatch: pytest.MonkeyPatch, descriptors: list[int], number: int, mend: str
) -> None:
    class Refusing:
        closed = False

        def load(self) -> None:
            raise OSError(number, f"loading the BPF programs: {os.strerror(number)}")

        def close(self) -> None:
            self.closed = True

    refusing = Refusing()
    monkeypatch.setattr(core_loader, "_prepare", lambda *_: refusing)
    with pytest.raises(
        SourceUnavailable, match=f"CO-RE programs cannot run: loading the BPF programs: .*; .*{mend}"
    ):
        load(OPTIONS)
    assert refusing.closed
    assert not any(map(is_open, descriptors))


def test_a_missing_libbpf_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, **_: object) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(libbpf.ct, "CDLL", missing)
    libbpf.library.cache_clear()
    try:
        with pytest.raises(SourceUnavailable, match=r"libbpf\.so\.1 cannot be loaded .* install libbpf1"):
            load(OPTIONS)
    finally:
        libbpf.library.cache_clear()


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.18.44-fc-v595", (6, 18)),
        ("5.10.0-28-cloud-amd64", (5, 10)),
        ("6.1.0-rc3+", (6, 1)),
        ("5.15.167.4-microsoft-standard-WSL2", (5, 15)),
        ("6.6+", (6, 6)),
    ],
)
def test_the_kernels_version_is_read_from_its_release(
    monkeypatch: pytest.MonkeyPatch, release: str, version: tuple[int, int]
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    assert kernel_version() == version
