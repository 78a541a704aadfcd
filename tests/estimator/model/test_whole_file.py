"""A file that is there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest

from estimator.model.whole_file import TEMPORARY, set_aside, write_whole


@pytest.mark.parametrize("lasting", [True, False])
def test_it_takes_the_place_of_the_old_one(tmp_path: Path, lasting: bool) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    write_whole(path, lambda file: file.write(b"new"), lasting=lasting)
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_what_fails_midway_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half of")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / f"state{TEMPORARY}").write_bytes(b"more than there will be")
    write_whole(tmp_path / "state", lambda file: file.write(b"new"))
    assert (tmp_path / "state").read_bytes() == b"new"


def test_it_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    write_whole(tmp_path / "secret", lambda file: file.write(b""), mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    (tmp_path / f"state{TEMPORARY}").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(tmp_path / "state", lambda file: file.write(b"new"))
    assert other.read_bytes() == b"precious"


def test_what_is_set_aside_is_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"bad")
    assert set_aside(tmp_path / "state").name == "state.refused"
    assert not (tmp_path / "state").exists()
