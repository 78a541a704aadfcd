"""What the doctor says of the directories in which counts outlive podjoule, and unpin of nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from exporter.check import Machine
from exporter.config import Config
from exporter.doctor import examine
from exporter.keeping_checks import check_pins, check_state
from exporter.sections import Ebpf, State
from exporter.unpin import unpin


def test_elsewhere_than_on_a_bpffs_the_mend_is_a_mount(tmp_path: Path) -> None:
    check = check_pins(tmp_path / "not/there")
    assert (check.status, check.required) == ("warn", False)
    assert f"{tmp_path} is not on a bpffs" in check.found
    assert "mount -t bpf bpf /sys/fs/bpf" in check.mend


def test_a_state_directory_is_one_that_can_be_made(tmp_path: Path) -> None:
    assert check_state(tmp_path / "new/one").ok
    (tmp_path / "file").write_text("")
    assert check_state(tmp_path / "file/below").status == "warn"


def test_only_what_is_asked_for_is_checked(tmp_path: Path) -> None:
    plain = {check.name for check in examine(Machine(), Config())}
    asked = replace(Config(), ebpf=Ebpf(pin=tmp_path), state=State(tmp_path))
    assert {check.name for check in examine(Machine(), asked)} - plain == {"pins", "state"}


def test_unpin_wants_a_directory() -> None:
    with pytest.raises(UsageError, match=r"wants --ebpf\.pin DIR"):
        unpin(Config())


def test_unpin_says_where_nothing_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "not_ours").write_text("")
    assert unpin(replace(Config(), ebpf=Ebpf(pin=tmp_path))) == 0
    assert capsys.readouterr().out == f"nothing is pinned in {tmp_path}\n"
    assert (tmp_path / "not_ours").exists()
