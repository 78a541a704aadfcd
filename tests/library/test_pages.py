"""The pages are true: the worked example is walked as it stands there, and the library's page is current."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import podjoule
from exporter.commands import library_reference
from exporter.commands.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/samples.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def write_sources(seconds: int = 2400) -> None:
    """What a BMC and node_exporter leave of a machine of 8 CPUs that draws 40 W and 12 W more a busy one."""
    random = np.random.default_rng(3)
    at = np.arange(seconds)
    busy = 8 * np.clip(0.5 + 0.55 * np.sin(at / 150) + random.normal(0, 0.03, seconds), 0, 1)
    watts = 40 + 12 * busy
    times = pd.Timestamp("2026-11-21T04:00:00Z") + pd.to_timedelta(at, unit="s")
    written = times.strftime("%Y-%m-%dT%H:%M:%SZ")
    # A BMC tells whole watts of the moment, every 5 s.
    pd.DataFrame({"time": written[::5], "watts": watts[::5].round().astype(int)}).to_csv(
        "bmc.csv", index=False
    )
    cpu = pd.DataFrame({"time": written[1::10], "cpu_seconds": (84312.41 + busy.cumsum())[1::10].round(2)})
    cpu.to_csv("cpu.csv", index=False)


def test_the_worked_example_can_be_walked_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sources()
    for head, file in zip(blocks("csv"), ("bmc.csv", "cpu.csv"), strict=True):
        assert head.splitlines()[0] == Path(file).read_text().splitlines()[0]
    make, use = blocks("python")
    exec(compile(make, "docs/samples.md", "exec"), {})
    for line in "".join(blocks("sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "podjoule"
        assert main(arguments) == 0, line
    out = capsys.readouterr().out
    assert "ok: nothing is wrong with it" in out
    assert "ok       db-3.json" in out

    walked: dict[str, object] = {}
    exec(compile(use, "docs/samples.md", "exec"), walked)
    found = walked["model"].coefficients_["value"]  # type: ignore[attr-defined]
    assert found["platform", "idle"] == pytest.approx(40, rel=0.05)
    assert found["platform", "cpu_seconds"] == pytest.approx(12, rel=0.05)
    assert podjoule.PowerModel.load("db-3.json").zones_ == ("platform",)


def test_the_two_mistakes_that_it_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sources()
    (make, _) = blocks("python")
    exec(compile(make.replace('cpu["cpu_seconds"].diff()', 'cpu["cpu_seconds"]'), "cumulative", "exec"), {})
    assert "it never falls: these are readings of a counter" in podjoule.check_samples("samples.csv")[0].what
    exec(compile(make.replace("watts * seconds", "1000 * watts * seconds"), "milliwatts", "exec"), {})
    assert "it may be in mJ" in podjoule.check_samples("samples.csv")[0].mend


def test_the_page_on_the_library_is_current() -> None:
    assert (ROOT / "docs/python.md").read_text() == library_reference.reference(), (
        "out of date: run make docs"
    )


def strings_of(folder: str) -> Iterator[tuple[str, str]]:
    """Every string that is no docstring, by file."""
    for path in (ROOT / folder).rglob("*.py"):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield path.name, node.value


def test_no_message_names_the_design_which_is_no_page_of_ours() -> None:
    told = [each for folder in ("exporter", "estimator", "ebpf") for each in strings_of(folder)]
    assert len(told) > 1000
    assert [each for each in told if "DESIGN" in each[1]] == []


def test_what_the_library_raises_speaks_of_arguments() -> None:
    """Flags are the command line's; programs of this room that are run by themselves have some."""
    told = [each for folder in ("library", "training") for each in strings_of(f"estimator/{folder}")]
    programs = {"shipped.py", "power_from_specification.py", "model_card.py", "card.py"}
    assert [each for each in told if re.search(r"(^|\s)--[a-z]", each[1]) and each[0] not in programs] == []


def test_a_wheel_that_is_installed_gives_the_library_and_its_types(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name in ("ebpf", "estimator", "exporter", "models", "LICENSES"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("podjoule.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source / name)
    build = f"import setuptools.build_meta as made; print(made.build_wheel({str(tmp_path)!r}))"
    wheel = tmp_path / run([sys.executable, "-c", build], cwd=source).splitlines()[-1]
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    run([sys.executable, *install, "--no-compile", "--target", str(site), str(wheel)])
    program = "import podjoule; print(podjoule.__file__, podjoule.PowerModel().kind)"
    said = run([sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)})
    assert said.split() == [str(site / "podjoule.py"), "auto"]
    assert all((site / package / "py.typed").exists() for package in ("ebpf", "estimator"))


def run(command: list[str], **more: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout
