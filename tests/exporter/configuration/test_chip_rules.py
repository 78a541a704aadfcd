"""What chips of hwmon measure, as the user says it: as Kepler does, and with the zones beside."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest
import yaml

from ebpf.errors import UsageError
from estimator.meters.hwmon_rules import NO_ZONE, ChipRule, Measure
from exporter.configuration.config import OPTIONS, Config, load_config, to_plain
from exporter.configuration.options import add_config_file_flag, add_flags

# The sample of Kepler's documentation, with all of its keys.
KEPLERS = """
experimental:
  hwmon:
    zones: [package, cpu_power]
    chipRules:
      - {name: my-chip, pairings: {1: 1, 3: 2}, skipVoltages: [0], skipCurrents: [4]}
      - {name: other-chip, useSameIndex: true}
"""


def load(*flags: str, file: Path | None = None, text: str = "", folder: Path | None = None) -> Config:
    if text and folder:
        file = folder / "podjoule.yaml"
        file.write_text(text)
    parser = ArgumentParser(allow_abbrev=False)
    add_config_file_flag(parser)
    add_flags(parser, OPTIONS)
    return load_config(parser.parse_args([*(["--config.file", str(file)] if file else []), *flags]), {})


def test_keplers_own_keys_are_taken_as_they_are(tmp_path: Path) -> None:
    hwmon = load(text=KEPLERS, folder=tmp_path).hwmon
    assert hwmon.zones == ("package", "cpu_power")
    assert hwmon.chip_rules == (
        ChipRule(
            "my-chip", pairings={1: 1, 3: 2}, skip_voltages=frozenset({0}), skip_currents=frozenset({4})
        ),
        ChipRule("other-chip", is_same_index=True),
    )


def test_a_rule_says_the_zones_too(tmp_path: Path) -> None:
    text = """
hwmon:
  chipRules:
    - name: ina226
      device: 1-0044
      zones: {power1: dram, VDD_*: platform, in*: none}
      maxEnergyMicrojoules: 99
"""
    (rule,) = load(text=text, folder=tmp_path).hwmon.chip_rules
    assert (rule.name, rule.device, rule.max_energy_uj) == ("ina226", "1-0044", 99)
    assert rule.measures == (
        Measure("dram", "power1", is_shell=True),
        Measure("platform", "VDD_*", is_shell=True),
        Measure(NO_ZONE, "in*", is_shell=True),
    )
    assert rule.measures[1].fits("vdd_in")


def test_a_flag_takes_json_one_rule_or_a_list_of_them() -> None:
    one, two = '{"name": "a", "zones": {"*": "core"}}', '[{"name": "b", "pairings": {"1": 2}}, {"name": "c"}]'
    rules = load(f"--hwmon.chip-rules={one}", f"--hwmon.chip-rules={two}").hwmon.chip_rules
    assert [rule.name for rule in rules] == ["a", "b", "c"]
    assert rules[1].pairings == {1: 2}


def test_what_is_printed_can_be_read_again(tmp_path: Path) -> None:
    config = load(text=KEPLERS.replace("name: other-chip", "name: x, zones: {p: core}"), folder=tmp_path)
    printed = {key: value for key, value in to_plain(config).items() if key == "hwmon"}
    assert load(text=yaml.safe_dump(printed), folder=tmp_path).hwmon == config.hwmon


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("5", "found 5"),
        ("[x]", "a rule must be a mapping with the chip's name"),
        ("[{zones: {a: core}}]", "a rule must be a mapping with the chip's name"),
        ("[{name: a, zone: core}]", "the rule of a: 'zone' is not known, the nearest is"),
        ("[{name: a, zones: {b: cpu}}]", "the rule of a: 'cpu' is no zone; there are package"),
        ("[{name: a, zones: [core]}]", "the rule of a: zones must be a mapping"),
        ("[{name: a, pairings: {x: 1}}]", "the rule of a: 'x' is no sensor's index"),
        ("[{name: a, pairings: {1: -1}}]", "the rule of a: -1 is no sensor's index"),
        ("[{name: a, skipVoltages: 4}]", "the rule of a: skipVoltages must be a list"),
        ("[{name: a, skipCurrents: [true]}]", "the rule of a: True is no sensor's index"),
        ("[{name: a, useSameIndex: 1}]", "the rule of a: useSameIndex must be true or false"),
        ("[{name: a, useSameIndex: true, pairings: {1: 1}}]", "only without pairings"),
        ("[{name: a, device: 7}]", "the rule of a: device must be a text"),
        ("[{name: a, maxEnergyMicrojoules: 0}]", "the rule of a: maxEnergyMicrojoules must be"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_with_its_chip_and_its_key(
    tmp_path: Path, rules: str, told: str
) -> None:
    with pytest.raises(UsageError) as refused:
        load(text=f"hwmon:\n  chipRules: {rules}\n", folder=tmp_path)
    message = str(refused.value)
    assert "podjoule.yaml:2: hwmon.chipRules: found" in message
    assert told in message
    assert "allowed: a list of mappings with name" in message


def test_a_flag_that_is_no_json_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--hwmon\.chip-rules: found 'ina226'"):
        load("--hwmon.chip-rules=ina226")
