from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.programs import program
from tests.vm import machines
from tests.vm.probe import MARK


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VM_DIR", str(tmp_path))
    monkeypatch.setitem(machines.PROBES, "6.1", ["core", "hotplug"])
    monkeypatch.setattr(machines, "OFF_SECONDS", 0.5)
    monkeypatch.setattr(machines, "LOOK_SECONDS", 0.2)


def booted(*answered: str, then: str) -> subprocess.Popen[bytes]:
    rows = "".join(f'echo \'{MARK}{{"name": "{name}"}}\';' for name in answered)
    with machines._console("6.1").open("w") as console:
        return subprocess.Popen(
            [program("sh"), "-c", f"{rows} {then}"], stdout=console, start_new_session=True
        )


def test_a_machine_that_answered_all_and_does_not_get_off_is_ended() -> None:
    began = time.monotonic()
    machine = booted("core", "hotplug", then="sleep 100")
    machines._wait_until_off(machine, "6.1")
    assert machine.returncode
    assert time.monotonic() - began < 60
    assert machines.answers(machines._console("6.1").read_text()).keys() == {"core", "hotplug"}


def test_a_machine_that_has_not_answered_all_is_waited_for() -> None:
    machine = booted("core", then=f"sleep 2; printf '{MARK}'; sleep 1; echo '{{\"name\": \"hotplug\"}}'")
    assert machines._wait_until_off(machine, "6.1")
    assert machine.returncode == 0
    assert machines.answers(machines._console("6.1").read_text()).keys() == {"core", "hotplug"}


def test_a_machine_that_stands_still_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "STILL_SECONDS", 0.5)
    machine = booted("core", then="sleep 100")
    assert not machines._wait_until_off(machine, "6.1")
    assert machine.returncode


@pytest.mark.parametrize("boots", [["core"], ["core", "hotplug"]])
@pytest.mark.parametrize(
    ("befell", "told"),
    [("sleep 20", "stood still"), ("echo 'Kernel panic - not syncing: Fatal exception'", "gave up")],
)
def test_it_is_booted_once_more_and_what_it_answers_then_counts(
    boots: list[str],
    befell: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(machines, "STILL_SECONDS", 0.5)
    tries = iter([["core"], boots])

    def boot(machine: str, *_: object) -> bool:
        return machines._wait_until_off(booted(*next(tries), then=befell), machine)

    monkeypatch.setattr(machines, "_boot", boot)
    assert list(machines.ask("6.1")) == boots
    assert f"machine 6.1 {told}" in capsys.readouterr().err
    assert next(tries, None) is None


def test_one_that_gets_off_by_itself_is_booted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter([["core"]])

    def boot(machine: str, *_: object) -> bool:
        return machines._wait_until_off(booted(*next(tries), then="exit 1"), machine)

    monkeypatch.setattr(machines, "_boot", boot)
    assert list(machines.ask("6.1")) == ["core"]
