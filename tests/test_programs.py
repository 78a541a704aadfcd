"""The table of programs is whole: nothing else is started, nothing in it is idle, and all of it is here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.programs import ROOT, ProgramMissing, program, table

SCRIPTS = [ROOT / name for name in ("deploy/image", "deploy/manifest", "tests/vm/kit", "tests/fresh/kit")]
# What every Debian has (Essential: yes), and what a script looks for before it starts it.
ESSENTIAL = {"coreutils", "findutils", "grep", "sed", "dpkg", "mawk", "apt", "diffutils", "gzip"}
OPTIONAL = {"docker", "helm", "python3.11"}
POSITION = r"(?:^|[|&;(]|\b(?:then|do|if|else)\b|!)[ \t]*(?:[A-Z_]+=\S* )*"
COMMAND = re.compile(POSITION + r"([a-z][\w.+-]*)(?=[ \n]|$)", re.MULTILINE)
NO_COMMAND = re.compile(r"(?:^|\s)#[^\n]*|<< 'END'[\s\S]*?^END$|\w*\) |\\\n|'[^']*'", re.MULTILINE)


def started_by(script: Path) -> set[str]:
    """The words in the place of a command that are programs here, other than functions and builtins."""
    text = NO_COMMAND.sub(" ", script.read_text())
    own = set(re.findall(r"^(\w+)\(\)", script.read_text(), re.MULTILINE))
    built_in = subprocess.run(["bash", "-c", "compgen -bk"], capture_output=True, text=True, check=True)
    return set(COMMAND.findall(text)) - own - set(built_in.stdout.split()) - OPTIONAL


def essential() -> set[str]:
    """The programs of the packages that every Debian has; awk is one of several."""
    lists = [Path(f"/var/lib/dpkg/info/{package}.list").read_text().splitlines() for package in ESSENTIAL]
    return {Path(path).name for paths in lists for path in paths if re.search("/s?bin/", path)} | {"awk"}


def test_each_row_says_what_the_program_is_for() -> None:
    rows = list(table().values())
    assert [row.name for row in rows] == sorted({row.name for row in rows})
    assert all(row.package and row.purpose for row in rows)


@pytest.mark.parametrize("name", table())
def test_it_is_here(name: str) -> None:
    assert program(name)


def test_one_that_is_not_listed_is_not_started() -> None:
    with pytest.raises(LookupError, match="whoami, which is not in"):
        subprocess.run(["whoami"])


def test_one_that_is_missing_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.programs.shutil.which", lambda *_, **__: None)
    with pytest.raises(ProgramMissing, match=r"needs promtool: .ci/setup test installs it \(prometheus\)"):
        program("promtool")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_start_nothing_else(script: Path) -> None:
    assert started_by(script) - set(table()) - essential() == set()


def test_each_is_used() -> None:
    files = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("deploy/**/*.py"), *SCRIPTS, ROOT / "Makefile"]
    words = "\n".join(path.read_text() for path in files if path != Path(__file__))
    names = [row.name for row in table().values()]
    idle = {name for name in names if not re.search(rf"[\"' /<{{(]{re.escape(name)}\b", words)}
    assert idle == set()
