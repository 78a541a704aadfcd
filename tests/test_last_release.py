"""The last release's code is had from any clone with an origin, however shallow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.last_release import git, repository_with

WHO = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")


@pytest.fixture
def history(tmp_path: Path) -> tuple[Path, str]:
    """A repository with two commits, and the first of them."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "--quiet").check_returncode()
    commits = []
    for text in ("old", "new"):
        (origin / "file").write_text(text)
        git(origin, "add", "file").check_returncode()
        git(origin, *WHO, "commit", "--quiet", "--message", text).check_returncode()
        commits.append(git(origin, "rev-parse", "HEAD").stdout.decode().strip())
    return origin, commits[0]


def cloned(origin: Path, *how: str) -> Path:
    git(origin, "clone", "--quiet", *how, f"file://{origin}", str(origin.parent / "clone")).check_returncode()
    return origin.parent / "clone"


def test_a_whole_clone_has_it_itself(history: tuple[Path, str], tmp_path: Path) -> None:
    origin, commit = history
    clone = cloned(origin)
    assert repository_with(commit, clone, tmp_path / "place") == clone


def test_a_shallow_clone_has_it_of_its_origin_and_stays_shallow(
    history: tuple[Path, str], tmp_path: Path
) -> None:
    origin, commit = history
    clone = cloned(origin, "--depth=1")
    found = repository_with(commit, clone, tmp_path / "place")
    assert found == tmp_path / "place"
    assert git(found, "show", f"{commit}:file").stdout == b"old"
    assert git(clone, "cat-file", "-e", commit).returncode != 0


def test_where_the_origin_is_gone_nobody_has_it(history: tuple[Path, str], tmp_path: Path) -> None:
    origin, commit = history
    clone = cloned(origin, "--depth=1")
    origin.rename(tmp_path / "elsewhere")
    assert repository_with(commit, clone, tmp_path / "place") is None


def test_a_folder_that_is_no_clone_has_none(tmp_path: Path) -> None:
    assert repository_with("0" * 40, tmp_path, tmp_path / "place") is None
