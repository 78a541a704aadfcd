"""`podjoule models estimate` says what a machine is taken to draw, in JSON and as a table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.commands.cli import main

LEVELS = [str(level) for level in range(0, 101, 10)]


def estimated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["models", "estimate", *arguments, "--format", "json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize("by", ["levels", "cpu_time_levels"])
def test_eleven_levels_rise_within_their_bounds(capsys: pytest.CaptureFixture[str], by: str) -> None:
    document = estimated(capsys, "--cpu", "AMD EPYC 9654", "--chips", "2", "--memory-gb", "768")
    assert (document["model"], document["family"]) == ("power-from-specification", "Genoa")
    assert list(document[by]) == LEVELS
    watts = [document[by][level]["watts"] for level in LEVELS]
    assert watts == sorted(watts)
    assert all(of["low"] <= of["watts"] <= of["high"] for of in document[by].values())
    assert 80 < watts[0] < 250
    assert 550 < watts[-1] < 1000


def test_a_guest_pays_its_share(capsys: pytest.CaptureFixture[str]) -> None:
    cpu = ("--cpu", "AMD EPYC 9654")
    eight = estimated(capsys, *cpu, "--guest-cpus", "8", "--memory-gb", "8")
    sixteen = estimated(capsys, *cpu, "--guest-cpus", "16", "--memory-gb", "16")
    assert eight["machine"]["is_guest"]
    assert sixteen["levels"]["100"]["watts"] == pytest.approx(2 * eight["levels"]["100"]["watts"], rel=1e-3)


@pytest.mark.parametrize("cpu", ["AMD EPYC 9654", "AMD EPYC 7763", "Xeon Platinum 8480+", "Xeon E5-2680 v4"])
def test_more_memory_never_makes_a_guest_draw_less(capsys: pytest.CaptureFixture[str], cpu: str) -> None:
    sizes = [
        estimated(capsys, "--cpu", cpu, "--guest-cpus", "8", "--memory-gb", f"{gb}") for gb in (4, 8, 32, 99)
    ]
    for level in ("0", "100"):
        watts = [of["levels"][level]["watts"] for of in sizes]
        assert watts == sorted(watts)
    assert sizes[-1]["levels"]["100"]["watts"] > sizes[0]["levels"]["100"]["watts"]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("AMD EPYC 9965", "Turin Dense"),
        ("Intel(R) Xeon(R) 6980P", "Granite Rapids"),
        ("Intel Xeon Platinum 8593", "Emerald Rapids"),
        ("Intel Xeon Processor (SapphireRapids)", "Sapphire Rapids"),
        ("Something else", None),
    ],
)
def test_any_name_has_an_answer(capsys: pytest.CaptureFixture[str], name: str, family: str | None) -> None:
    document = estimated(capsys, "--cpu", name)
    assert document["family"] == family
    assert document["levels"]["100"]["watts"] > document["levels"]["0"]["watts"] > 0


def test_an_instance_type_is_a_guest_and_bare_metal_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    guest = estimated(capsys, "--instance-type", "m7i.4xlarge")
    assert (guest["machine"]["n_cpu"], guest["machine"]["is_guest"]) == (16, True)
    assert not estimated(capsys, "--instance-type", "m5.metal")["machine"]["is_guest"]


def test_the_table_says_what_it_took_the_machine_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "estimate", "--cpu", "AMD EPYC 9654"]) == 0
    head, columns, *rows = capsys.readouterr().out.splitlines()
    assert "Genoa, by the CPU's name" in head
    assert columns.split() == ["work", "done", "watts", "low", "high"]
    assert len(rows) == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no CPU given"),
        (("--instance-type", "x9.huge"), "no table says which CPU that is"),
        (("--cpu", "AMD EPYC 9654", "--chips", "0"), "allowed: a number above 0"),
        (("--cpu", "AMD EPYC 9654", "--guest-cpus", "1.5"), "allowed: a whole number"),
    ],
)
def test_what_cannot_be_is_said(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert main(["models", "estimate", *arguments]) == 2
    assert message in capsys.readouterr().err
