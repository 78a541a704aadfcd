"""A command takes the flags of the options that it reads, and no others."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from exporter.commands.cli import every_command, main
from exporter.configuration.config import OPTIONS, Config
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.nodes import Node
from tests.exporter.recording.recordings import record_ticks

COMMANDS = {command.name: command for command in every_command()}
TABLE = str(Path(__file__).parents[2] / "data" / "nx12_train.csv")
LOG = {"log.level", "log.format"}
# Without a meter, with a GPU, kubelet, provider or price. The design has --ebpf.pin for all who measure.
READ_SOMETIMES = {
    *("anchors.idleWatts", "anchors.fullWatts", "carbon.refresh", "carbon.tokenFile", "carbon.url"),
    *("cost.currency", "ebpf.pin", "kube.nodeName", "kube.readNode", "machine.instanceType"),
    *("hwmon.zones", "hwmon.chipRules", "kube.podResources"),
    *("kube.kubeletAddress", "kube.kubeletCA", "kube.kubeletInsecure"),
    *("platform.ipmi.period", "platform.redfish.nodeName", "platform.redfish.period"),
}
# What a replay puts in the place of this machine's.
OF_THE_RECORDING = {"host.sysfs", "host.procfs", "kube.nodeName", "monitor.interval"}


def sections(of: type[Any]) -> Iterator[type[Any]]:
    """The dataclasses of the configuration's tree."""
    yield of
    for each in fields(of):
        if "option" not in each.metadata:
            yield from sections(each.default_factory)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The keys of all options that anyone but the configuration itself has read since."""
    found: set[str] = set()

    def watch(section: type[Any]) -> None:
        keys = {
            each.name: each.metadata["option"].key for each in fields(section) if "option" in each.metadata
        }

        def get(self: object, name: str) -> object:
            reader = sys._getframe(1).f_globals["__name__"]
            if name in keys and reader != "dataclasses" and not reader.startswith("exporter.configuration."):
                found.add(keys[name])
            return object.__getattribute__(self, name)

        monkeypatch.setattr(section, "__getattribute__", get, raising=False)

    for section in sections(Config):
        watch(section)
    return found


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def host(tmp_path: Path) -> list[str]:
    """The flags that name a machine of files: two sockets that draw power, and a cgroup."""
    RaplTree.two_sockets(tmp_path / "sys")
    (tmp_path / "proc").mkdir()
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup/cgroup.controllers").touch()
    (tmp_path / "cgroup/cpu.stat").write_text("usage_usec 1000\n")
    trees = {"sysfs": "sys", "procfs": "proc", "cgroupfs": "cgroup"}
    return ["--ebpf.loader=none", *(f"--host.{flag}={tmp_path / name}" for flag, name in trees.items())]


def test_run_takes_every_option() -> None:
    assert (
        COMMANDS["run"].options == COMMANDS["doctor"].options == COMMANDS["config check"].options == OPTIONS
    )


@pytest.mark.parametrize(
    "argv",
    [
        ["snapshot", "--duration=100ms"],
        ["record", "--duration=200ms", "--output=recording"],
        ["top", "--plain", "--count=1", "--interval=100ms"],
        ["doctor"],
    ],
)
def test_what_looks_at_a_machine_takes_what_it_reads(
    argv: list[str], host: list[str], read: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*argv, *host]) in (0, 1)
    taken = COMMANDS[argv[0]].options.keys()
    assert LOG < read <= taken
    assert taken - read <= READ_SOMETIMES or argv == ["doctor"]


@pytest.mark.parametrize("argv", [["models", "list"], ["models", "show", "bare-metal-counters"]])
def test_looking_at_models_takes_what_it_reads(argv: list[str], read: set[str]) -> None:
    assert main(argv) == 0
    assert read == COMMANDS[" ".join(argv[:2])].options.keys() == LOG


def test_models_verify_takes_what_it_reads(trained: Path, read: set[str]) -> None:
    assert main(["models", "verify", str(trained)]) == 0
    assert read == COMMANDS["models verify"].options.keys() == LOG


@pytest.mark.parametrize("online", [True, False])
def test_evaluate_takes_what_it_reads(online: bool, trained: Path, read: set[str]) -> None:
    assert main(["evaluate", *(["--online"] if online else [str(trained)]), "--input", TABLE]) == 0
    assert read == COMMANDS["evaluate"].options.keys() == LOG


def test_train_takes_what_it_reads(read: set[str], tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").touch()
    own = ["--kube.node-name=nx12", f"--host.procfs={tmp_path}"]
    less = ["--zones=dram", "--kind=linear", f"--output={tmp_path / 'm.json'}"]
    assert main(["train", "--input", TABLE, *own, *less]) == 0
    assert (
        read
        == COMMANDS["train"].options.keys()
        == {
            *LOG,
            *("kube.nodeName", "host.procfs", "host.sysfs"),
        }
    )


def test_unpin_takes_what_it_reads(read: set[str], tmp_path: Path) -> None:
    assert main(["unpin", f"--ebpf.pin={tmp_path}"]) == 0
    assert read == COMMANDS["unpin"].options.keys() == {*LOG, "ebpf.pin"}


def test_replay_takes_what_it_reads(read: set[str], tmp_path: Path) -> None:
    record_ticks(Node(), tmp_path, 3).close()
    carbon = ["--carbon.schedule=22:00-06:00=120", "--carbon.intensity=300"]
    cost = ["--cost.schedule=22:00-06:00=0.1", "--cost.price-per-kwh=0.3", "--cost.currency=EUR"]
    web = ["--speed=1000", "--web.listen-address=127.0.0.1:0"]
    read.clear()
    for more in ([], [*carbon, *cost, *web]):
        assert main(["replay", str(tmp_path), *more]) == 0
    assert read - OF_THE_RECORDING == COMMANDS["replay"].options.keys()


@pytest.mark.parametrize(
    "name", ["evaluate", "models list", "models show", "models verify", "report show", "report close"]
)
def test_what_needs_no_machine_shares_with_run_the_flags_of_its_log_alone(name: str) -> None:
    shared = set(COMMANDS[name].parser().flags) & set(COMMANDS["run"].parser().flags)
    assert shared == {"-h", "--help", "--log.level", "--log.format"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["evaluate", "--web.listen-address", ":1", "--input", "t.csv"],
            "unknown flag --web.listen-address; the nearest of podjoule evaluate is --online;"
            " --web.listen-address is a flag of run, replay, doctor, config check",
        ),
        (
            ["run", "--zones=dram"],
            "unknown flag --zones; the nearest of podjoule run is --rapl.zones; --zones is a flag of train",
        ),
        (
            ["snapshot", "--durration=1s"],
            "unknown flag --durration; the nearest of podjoule snapshot is --duration",
        ),
        (
            ["models", "list", "--log.levle=info"],
            "unknown flag --log.levle; the nearest of podjoule models list is --log.level",
        ),
    ],
)
def test_another_flag_is_refused_with_the_nearest_and_who_takes_it(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == f"podjoule: {message}\n"


def test_file_and_environment_may_hold_what_other_commands_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "podjoule.yaml"
    file.write_text("web: {maxRequests: 7}\n")
    monkeypatch.setenv("PODJOULE_CONFIG_FILE", str(file))
    monkeypatch.setenv("PODJOULE_EBPF_LOADER", "none")
    assert main(["models", "list"]) == 0
    file.write_text("web: {maxRequests: many}\n")
    assert main(["models", "list"]) == 2
    assert f"{file}:1: web.maxRequests: found 'many'" in capsys.readouterr().err
