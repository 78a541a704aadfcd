"""The command line: exit codes, one line an error, results to stdout, logs to stderr."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import types

import pytest
import yaml

from ebpf.errors import MeterUnavailable, UsageError
from ebpf.version import VERSION
from exporter.cli import main
from exporter.config import Config
from exporter.logs import set_up_logging


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PODJOULE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def commands(monkeypatch):
    """Stand-ins for run and snapshot; they note what they were called with."""
    calls = []

    def stand_in(name, function):
        module = types.ModuleType(f"exporter.{name}")
        setattr(module, name, function)
        monkeypatch.setitem(sys.modules, module.__name__, module)

    def called(*arguments):
        calls.append(arguments)
        return 0

    calls_and_more = types.SimpleNamespace(calls=calls, stand_in=stand_in)
    stand_in("run", called)
    stand_in("snapshot", called)
    return calls_and_more


def test_run_gets_the_configuration(commands):
    assert main(["run", "--monitor.interval=1s"]) == 0
    ((config, load, file),) = commands.calls
    assert file is None
    assert isinstance(config, Config)
    assert config.monitor.interval_seconds == 1
    assert load() == config


def test_snapshot_gets_its_duration_and_format(commands):
    assert main(["snapshot", "--duration", "250ms", "--format", "json", "--ebpf.loader", "none"]) == 0
    assert main(["snapshot"]) == 0
    (config, seconds, output), (_, default_seconds, default_output) = commands.calls
    assert (config.ebpf.loader, seconds, output) == ("none", 0.25, "json")
    assert (default_seconds, default_output) == (5.0, "table")


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
def test_wrong_usage_is_one_line_and_2(argv, parts, capsys, commands):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("podjoule: ")
    assert err.count("\n") == 1
    assert all(part in err for part in parts), err
    assert not commands.calls


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MeterUnavailable("no powercap\ntree"), 2, "podjoule: no powercap tree\n"),
        (UsageError("no such model"), 2, "podjoule: no such model\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_command_raises_becomes_an_exit_code(error, code, line, capsys, commands):
    def failing(*_):
        raise error

    commands.stand_in("run", failing)
    assert main(["run"]) == code
    assert capsys.readouterr().err == line


def test_a_mistake_in_the_program_keeps_its_traceback(commands):
    def failing(*_):
        raise ZeroDivisionError

    commands.stand_in("run", failing)
    with pytest.raises(ZeroDivisionError):
        main(["run"])


def test_config_check_prints_what_is_in_force(capsys, tmp_path):
    file = tmp_path / "podjoule.yaml"
    file.write_text("monitor: {interval: 1m30s}\n")
    assert main(["config", "check", "--config.file", str(file), "--kube.node-name", "n"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["monitor"] == {"interval": "1m30s", "terminatedTTL": "5m", "idlePolicy": "none"}
    assert printed["web"] == {"listenAddresses": [":28283"], "configFile": None, "maxRequests": 40}
    assert printed["kube"]["nodeName"] == "n"


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
    command = [sys.executable, "-m", "exporter.cli", "config", "check"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_starting_imports_only_what_the_command_needs():
    heavy = {"numpy", "yaml", "ctypes", "prometheus_client", "difflib", "socket"}
    code = f"import sys, exporter.cli; print(*sorted({heavy!r} & set(sys.modules)))"
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
