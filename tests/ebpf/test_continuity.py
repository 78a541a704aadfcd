"""Going on from what another process left: cpu.stat by its files, bcc not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpf.boot import boot_id
from ebpf.counters import CPU_NS
from ebpf.cpu_stat import CpuStatSource
from ebpf.directory_lock import lock_directory
from ebpf.errors import UsageError
from ebpf.hierarchy import Hierarchy
from ebpf.program import ProgramOptions
from ebpf.source import open_source


def use(folder: Path, usec: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "cpu.stat").write_text(f"usage_usec {usec}\n")


def seconds(source: CpuStatSource, folder: Path) -> float:
    snapshot = source.read()
    return float(snapshot.values[snapshot.cgroup_id == folder.stat().st_ino, 0, CPU_NS].sum()) / 1e9


def test_cpu_stat_goes_on_from_where_it_was_read_last(tmp_path: Path) -> None:
    hierarchy, folder = Hierarchy(2, tmp_path), tmp_path / "a"
    use(tmp_path, 1_000_000)
    use(folder, 1_000_000)
    first = CpuStatSource(hierarchy, boot_id="b")
    use(folder, 3_000_000)
    use(tmp_path, 3_000_000)
    assert seconds(first, folder) == 2
    use(folder, 6_000_000)
    use(tmp_path, 6_000_000)
    second = CpuStatSource(hierarchy, first.kept(), "b")
    assert seconds(second, folder) == 5
    assert second.kept().identity == first.kept().identity != ""


@pytest.mark.parametrize("boot", ["another", ""])
def test_after_a_reboot_cpu_stat_begins_anew(tmp_path: Path, boot: str) -> None:
    hierarchy = Hierarchy(2, tmp_path)
    use(tmp_path, 5_000_000)
    first = CpuStatSource(hierarchy, boot_id="b")
    first.read()
    second = CpuStatSource(hierarchy, first.kept(), boot)
    assert seconds(second, tmp_path) == 0
    assert second.kept().identity != first.kept().identity


def test_bcc_and_pins_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--ebpf\.loader core or auto"):
        open_source("bcc", ProgramOptions(Hierarchy(2, tmp_path), pin=tmp_path))


def test_the_boot_is_told_by_procfs(tmp_path: Path) -> None:
    assert boot_id(tmp_path) == ""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("b7c0\n")
    assert boot_id(tmp_path) == "b7c0"


def test_a_directory_is_one_processs_at_a_time(tmp_path: Path) -> None:
    first = lock_directory(tmp_path, 0.0)
    assert first is not None
    assert lock_directory(tmp_path, 0.1) is None
