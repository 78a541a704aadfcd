"""The options of carbon and cost: from the file, the environment and flags, and what is refused."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest
import yaml

from ebpf.errors import UsageError
from exporter.configuration.config import OPTIONS, Config, load_config, to_plain
from exporter.configuration.day_schedule import DayPart
from exporter.configuration.options import add_config_file_flag, add_flags
from exporter.configuration.tariff_options import Carbon, Cost

FILE = """
carbon:
  provider: electricitymaps
  zone: DE
  url: http://grid-cache.monitoring:8080/em
  tokenFile: /etc/podjoule/token
  refresh: 15m
  pue: 1.3
  timeZone: Europe/Berlin
  intensity: 300
  schedule:
    - 10:00-16:00=180.5
    - 22:00-06:00=250
cost:
  pricePerKwh: 0.31
  schedule: [22:00-06:00=0.24]
  timeZone: Europe/Berlin
  currency: EUR
"""


def load(*flags: str, environ: dict[str, str] | None = None) -> Config:
    parser = ArgumentParser(allow_abbrev=False)
    add_config_file_flag(parser)
    add_flags(parser, OPTIONS)
    return load_config(parser.parse_args(flags), environ or {})


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "podjoule.yaml"
    path.write_text(FILE)
    return str(path)


def test_the_file_is_read_as_it_is_written(file: str) -> None:
    config = load("--config.file", file)
    assert config.carbon == Carbon(
        provider="electricitymaps",
        zone="DE",
        intensity=300.0,
        schedule=(DayPart(600, 960, 180.5), DayPart(1320, 360, 250.0)),
        time_zone="Europe/Berlin",
        url="http://grid-cache.monitoring:8080/em",
        token_file=Path("/etc/podjoule/token"),
        refresh_seconds=900.0,
        pue=1.3,
    )
    assert config.cost == Cost(0.31, (DayPart(1320, 360, 0.24),), "Europe/Berlin", "EUR")


def test_what_is_printed_reads_back(file: str, tmp_path: Path) -> None:
    config = load("--config.file", file)
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(to_plain(config)))
    assert load("--config.file", str(again)) == config


def test_flags_and_variables_do_the_same() -> None:
    flags = (
        "--carbon.schedule",
        "00:00-06:00=1",
        "--carbon.schedule",
        "06:00-24:00=2",
        "--carbon.pue",
        "1.2",
    )
    environ = {"PODJOULE_CARBON_SCHEDULE": "00:00-06:00=1,06:00-24:00=2", "PODJOULE_CARBON_PUE": "1.2"}
    parts = (DayPart(0, 360, 1.0), DayPart(360, 1440, 2.0))
    assert load(*flags).carbon == load(environ=environ).carbon == Carbon(schedule=parts, pue=1.2)
    assert load("--cost.price-per-kwh", "0.3", "--cost.currency", "USD").cost == Cost(0.3, (), "UTC", "USD")
    assert load("--carbon.token-file", "t", "--carbon.time-zone", "UTC").carbon.token_file == Path("t")


@pytest.mark.parametrize(
    ("flag", "found", "allowed"),
    [
        ("--carbon.intensity", "-1", "from 0 to 5000"),
        ("--carbon.intensity", "5001", "from 0 to 5000"),
        ("--carbon.intensity", "nan", "from 0 to 5000"),
        ("--carbon.pue", "0.99", "from 1 to 100"),
        ("--carbon.pue", "inf", "from 1 to 100"),
        ("--carbon.refresh", "59s", "at least 1m"),
        ("--carbon.provider", "electricity-maps", "nearest .* 'electricitymaps'"),
        ("--carbon.schedule", "6-24=3", "22:00-06:00=120"),
        ("--carbon.time-zone", "Europe/Atlantis", "tzdata"),
        ("--carbon.time-zone", "../../etc/passwd", "time zone database"),
        ("--carbon.url", "file:///etc/passwd", "http://"),
        ("--carbon.url", "https://", "with a host"),
        ("--carbon.url", "https://host:99999", "http://"),
        ("--cost.price-per-kwh", "-0.1", "from 0"),
        ("--cost.currency", "euro", "ISO 4217"),
        ("--cost.schedule", "00:00-06:00=-1", "from 0"),
    ],
)
def test_what_makes_no_sense_is_refused(flag: str, found: str, allowed: str) -> None:
    with pytest.raises(UsageError, match=allowed) as raised:
        load(flag, found)
    assert str(raised.value).startswith(f"{flag}: ")


@pytest.mark.parametrize("url", ["https://user:s3cr3t@host", "https://host/?token=s3cr3t"])
def test_a_secret_in_an_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageError, match="secrets in a file") as raised:
        load("--carbon.url", url)
    assert "s3cr3t" not in str(raised.value)
