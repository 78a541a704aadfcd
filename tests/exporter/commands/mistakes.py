"""What every command makes of a wrong command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from exporter.commands.cli import main


def assert_one_line_and_2(
    argv: Sequence[str], parts_of_message: Iterable[str], capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """One line on stderr with these parts, exit code 2, and nothing is left in the folder that it runs in."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert all(part in err for part in parts_of_message), err
    assert not list(folder.iterdir())
