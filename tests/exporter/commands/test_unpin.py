"""`podjoule unpin` where nothing of ours is; tests/live/test_continuity.py has what is in the kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from exporter.commands.unpin import unpin
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Ebpf


def test_unpin_wants_a_directory() -> None:
    with pytest.raises(UsageError, match=r"wants --ebpf\.pin DIR"):
        unpin(Config())


def test_unpin_says_where_nothing_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "not_ours").write_text("")
    assert unpin(replace(Config(), ebpf=Ebpf(pin=tmp_path))) == 0
    assert capsys.readouterr().out == f"nothing is pinned in {tmp_path}\n"
    assert (tmp_path / "not_ours").exists()
