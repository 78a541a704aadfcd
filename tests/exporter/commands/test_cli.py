"""The command line: exit codes, one line an error, results to stdout, logs to stderr."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from ebpf.errors import UsageError
from ebpf.version import VERSION
from estimator.errors import MeterUnavailable
from exporter.commands.cli import main
from exporter.configuration.config import Config
from exporter.configuration.logs import set_up_logging


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PODJOULE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def calls(monkeypatch):
    """What run was called with: it stands in for all commands."""
    calls = []

    def called(*arguments):
        calls.append(arguments)
        return 0

    monkeypatch.setattr("exporter.commands.run.run", called)
    return calls


def test_a_command_gets_the_configuration(calls):
    assert main(["run", "--monitor.interval=1s"]) == 0
    ((config, load, file),) = calls
    assert file is None
    assert isinstance(config, Config)
    assert config.monitor.interval_seconds == 1
    assert load() == config


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        ([], ["COMMAND"]),
        (["runn"], ["runn", "run"]),
        (["config"], ["COMMAND"]),
        (["run", "--web.listen-adress=:1"], ["--web.listen-adress;", "--web.listen-address"]),
        (["run", "--web.listenAddresses", ":1"], ["--web.listenAddresses;", "--web.listen-address"]),
        (["run", "--monitor.inter", "1s"], ["--monitor.inter;", "--monitor.interval"]),
        (["run", "now"], ["now"]),
        (["run", "--model"], ["--model"]),
        (["snapshot", "--duration", "5"], ["--duration: found '5'", "5s"]),
        (["snapshot", "--format", "xml"], ["xml", "json"]),
        (["run", "--monitor.interval", "5"], ["--monitor.interval: found '5'"]),
        (["config", "check", "--config.file", "/nowhere.yaml"], ["/nowhere.yaml"]),
    ],
)
def test_wrong_usage_is_one_line_and_2(argv, parts, capsys, calls):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("podjoule: ")
    assert err.count("\n") == 1
    assert all(part in err for part in parts), err
    assert not calls


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MeterUnavailable("no powercap\ntree"), 2, "podjoule: no powercap tree\n"),
        (UsageError("no such model"), 2, "podjoule: no such model\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_command_raises_becomes_an_exit_code(error, code, line, capsys, monkeypatch):
    def failing(*_):
        raise error

    monkeypatch.setattr("exporter.commands.run.run", failing)
    assert main(["run"]) == code
    assert capsys.readouterr().err == line


def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch):
    def failing(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("exporter.commands.run.run", failing)
    with pytest.raises(ZeroDivisionError):
        main(["run"])


def test_an_unknown_variable_is_a_warning(capsys, monkeypatch):
    monkeypatch.setenv("PODJOULE_MODELL", "none")
    assert main(["config", "check"]) == 0
    assert "warning exporter.cli environment variable PODJOULE_MODELL" in capsys.readouterr().err


def test_version_and_help_go_to_stdout(capsys):
    for argv, text in (
        (["--version"], f"podjoule {VERSION}\n"),
        (["run", "--help"], "--monitor.terminated-ttl"),
    ):
        with pytest.raises(SystemExit) as raised:
            main(argv)
        assert raised.value.code == 0
        out, err = capsys.readouterr()
        assert text in out
        assert err == ""


def test_a_closed_pipe_is_quiet():
    command = [sys.executable, "-m", "exporter.commands.cli", "config", "check"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("module", ["exporter", "exporter.commands.cli"])
def test_it_is_a_module_too(module):
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"podjoule {VERSION}\n")


def test_help_names_every_command_without_what_only_some_need():
    code = """
import sys
for name in ("pyarrow", "pandas", "sklearn", "textual"):
    sys.modules[name] = None
from exporter.commands.cli import main
main(["--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("run", "snapshot", "top", "record", "replay", "train", "evaluate", "models", "doctor"):
        assert f"\n    {name} " in done.stdout


def test_starting_imports_only_what_the_command_needs():
    heavy = {"numpy", "yaml", "ctypes", "prometheus_client", "difflib", "socket"}
    code = f"import sys, exporter.commands.cli; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_line_of_text_has_time_level_component_and_message(capsys):
    set_up_logging("info", "text")
    logging.getLogger("exporter.tick").warning("late by %d ms", 7)
    logging.getLogger("exporter.tick").debug("not shown")
    time, rest = capsys.readouterr().err.split(" ", 1)
    assert rest == "warning exporter.tick late by 7 ms\n"
    assert time.endswith("Z")


def test_a_second_set_up_replaces_the_first(capsys):
    set_up_logging("debug", "text")
    set_up_logging("error", "json")
    logging.getLogger("exporter.tick").warning("not shown")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("exporter.tick").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["component"], entry["message"]) == ("error", "exporter.tick", "failed")
    assert "ValueError: two" in entry["exception"]
