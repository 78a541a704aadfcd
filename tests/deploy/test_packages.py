"""What the packages are made from: the unit, the configuration file, the usage; tests/fresh installs them."""

from __future__ import annotations

import configparser
import re
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from deploy.packages.configuration import IN_FORCE, configuration_file
from exporter.configuration.config import OPTIONS, flatten, load_config
from tests.programs import program

PACKAGES = Path(__file__).resolve().parents[2] / "deploy/packages"
UNIT = PACKAGES / "podjoule.service"
CONFIGURATION = PACKAGES / "podjoule.yaml"
MOST_EXPOSED = 2.0


def exposure(unit: Path) -> float:
    command = [program("systemd-analyze"), "security", "--offline=true", "--no-pager", unit]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for \S+: (\S+)", said)
    assert found, said
    return float(found[1])


def test_the_unit_is_exposed_to_next_to_nothing() -> None:
    assert exposure(UNIT) <= MOST_EXPOSED


def test_a_right_more_is_seen(tmp_path: Path) -> None:
    looser = tmp_path / UNIT.name
    looser.write_text(
        UNIT.read_text().replace("NoNewPrivileges=yes\n", "").replace("ProtectSystem=strict\n", "")
    )
    assert exposure(looser) > MOST_EXPOSED


def test_nothing_but_its_own_folders_is_writable() -> None:
    service = directives(UNIT)
    assert service["ProtectSystem"] == "strict"
    assert service["StateDirectory"] == "podjoule"
    assert service["ReadWritePaths"] == f"-{IN_FORCE['ebpf.pin']}"
    assert set(service["AmbientCapabilities"].split()) == {"CAP_BPF", "CAP_PERFMON", "CAP_DAC_READ_SEARCH"}
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"]


def directives(unit: Path) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser["Service"]


def test_the_configuration_file_is_made_from_the_options() -> None:
    assert configuration_file(OPTIONS, IN_FORCE) == CONFIGURATION.read_text(), "make docs"


def test_it_puts_in_force_what_outlives_a_restart_and_no_more(tmp_path: Path) -> None:
    found, plain = configured(CONFIGURATION), configured(None)
    differing = {key for key in OPTIONS if found[key] != plain[key]}
    assert differing == {"ebpf.pin", "state.dir"}
    assert {key: str(found[key]) for key in differing} == IN_FORCE


def test_each_option_stands_in_it_as_it_may_be_taken(tmp_path: Path) -> None:
    bare = tmp_path / "podjoule.yaml"
    bare.write_text(re.sub(r"^#(?!#)", "", CONFIGURATION.read_text(), flags=re.MULTILINE))
    assert configured(bare) == configured(CONFIGURATION)
    keys = re.findall(r"^ *(\w+):", bare.read_text(), re.MULTILINE)
    assert [key for key in keys if key in {each.rpartition(".")[2] for each in OPTIONS}] != []
    assert {each.rpartition(".")[2] for each in OPTIONS} <= set(keys)


def configured(file: Path | None) -> dict[str, object]:
    return flatten(load_config(Namespace(**{"config.file": str(file) if file else None}), {}))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [([], "--out DIR"), (["--out", "x", "--arch", "riscv64"], "riscv64"), (["--wrong", "x"], "--out DIR")],
)
def test_wrong_usage_says_what_is_right(arguments: list[str], word: str, tmp_path: Path) -> None:
    done = subprocess.run([PACKAGES / "build", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert word in done.stderr


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_the_maintainers_scripts_are_shell(name: str) -> None:
    subprocess.run([program("sh"), "-n", PACKAGES / "debian" / name], check=True)
