"""The schema of each option takes what the option takes, and refuses what it refuses for its kind."""

from __future__ import annotations

import string
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from jsonschema import Draft7Validator

from ebpf.errors import UsageError
from exporter.configuration.config import OPTIONS
from exporter.configuration.kepler_keys import KEPLER_ALIASES
from exporter.configuration.options import Option
from exporter.configuration.schemas import nested, one_of, text

SCHEMA = nested(
    {key: each.value_type.schema for key, each in OPTIONS.items()}
    | {alias: OPTIONS[key].value_type.schema for alias, key in KEPLER_ALIASES.items()}
)
WHOLE = Draft7Validator(SCHEMA)
EACH = {key: Draft7Validator(each.value_type.schema) for key, each in OPTIONS.items()}
WORDS = sorted(
    {
        word
        for each in OPTIONS.values()
        for word in each.value_type.allowed.replace(",", " ").replace(";", " ").split()
    }
)

# What people write: words of the documentation in any case, durations, numbers, addresses, and what is none.
TEXTS = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS).map(str.upper),
    st.from_regex(r"[0-9]{1,3}(\.[0-9])?(ns|us|µs|ms|s|m|h)", fullmatch=True),
    st.from_regex(r"https?://[a-z]{1,5}(:[0-9]{1,5})?(/[a-z@]{0,4})?[?#]?", fullmatch=True),
    st.from_regex(r"(\[::1\]|[a-z.]{0,5}):[0-9]{1,5}", fullmatch=True),
    st.from_regex(r"[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]=[0-9]{1,4}", fullmatch=True),
    st.from_regex(r" ?[a-z.]{1,5} ?= ?[a-z=]{1,5}", fullmatch=True),
    st.sampled_from(["EUR", "Europe/Berlin", "/var/lib/podjoule", "0", " ", "\t/a", "info\n", "é", "no"]),
    st.text(string.printable, max_size=6),
)
RULES = st.fixed_dictionaries(
    {"name": st.sampled_from(["ina226", "acpitz", " x "])},
    optional={
        "device": st.sampled_from(["", "1-0040"]),
        "zones": st.dictionaries(
            st.sampled_from(["VDD_*", "power1"]), st.sampled_from(["package", "none", None])
        ),
        "pairings": st.dictionaries(st.sampled_from(["1", "2"]), st.integers(0, 1000)),
        "useSameIndex": st.booleans(),
        "skipVoltages": st.lists(st.integers(-1, 1001), max_size=2),
        "skipCurrents": st.lists(st.sampled_from(["1", 2]), max_size=2),
        "maxEnergyMicrojoules": st.sampled_from([None, 1, 2**63 - 1]),
    },
)
VALUES = st.one_of(
    TEXTS,
    st.lists(TEXTS, max_size=3),
    st.lists(RULES, max_size=2),
    st.booleans(),
    st.integers(-2, 2_000_000),
    st.floats(-1, 1e7),
    st.dictionaries(TEXTS, st.integers(), max_size=2),
)


def takes(each: Option, value: object) -> bool:
    try:
        each.value_type.parse(value)
    except (ValueError, UsageError):
        return False
    return True


@pytest.mark.parametrize("each", OPTIONS.values(), ids=OPTIONS)
def test_what_an_option_takes_its_schema_takes(each: Option) -> None:
    @settings(max_examples=40)  # of each of 60 options
    @given(VALUES)
    def holds(value: object) -> None:
        if takes(each, value):
            assert EACH[each.key].is_valid(value)

    holds()


@pytest.mark.parametrize("each", OPTIONS.values(), ids=OPTIONS)
def test_its_default_as_it_is_printed_fits(each: Option) -> None:
    assert EACH[each.key].is_valid(each.value_type.plain(each.default))  # type: ignore[arg-type]


KINDS: dict[str, list[Any]] = {
    "string": ["", " ", "no such thing", "5"],
    "boolean": [True, False],
    "number": [-1, 0.5, 1e12],
    "array": [["no such thing"], [1], [None]],
    "object": [{}, {"a": "b"}],
}


@pytest.mark.parametrize("each", OPTIONS.values(), ids=OPTIONS)
def test_another_kind_than_the_option_s_is_refused(each: Option) -> None:
    allowed = each.value_type.schema["type"]
    assert "null" in allowed
    for kind, values in KINDS.items():
        for value in values:
            if kind not in allowed and not (kind == "number" and "integer" in allowed):
                assert not EACH[each.key].is_valid(value), value
                assert not takes(each, value), value


def test_names_numbers_and_forms_that_no_option_takes_are_refused() -> None:
    wrong = {
        "log.level": "verbose",
        "calibration": "maybe",
        "monitor.interval": "5",
        "ebpf.mapEntries": 63,
        "carbon.pue": 0.9,
        "carbon.intensity": 5001,
        "carbon.zone": " ",
        "carbon.url": "ftp://cache",
        "carbon.schedule": ["night=120"],
        "cost.currency": "Euro",
        "rapl.zones": ["pakage"],
        "meters.preferred": ["rapl", "kepler"],
        "otlp.attributes": ["k8s.cluster.name"],
        "exporter.prometheus.metricsLevel": [],
        "web.listenAddresses": ["28283"],
        "hwmon.chipRules": [{"name": "ina226", "zones": {"VDD": "disk"}}],
        "kube.kubeletInsecure": "true",
    }
    for key, value in wrong.items():
        assert not takes(OPTIONS[key], value), key
        assert not EACH[key].is_valid(value), key


def test_a_key_that_is_no_option_is_refused_at_every_depth() -> None:
    assert WHOLE.is_valid({"platform": {"ipmi": {"period": "5s"}}, "monitor": None})
    for wrong in ({"nonsense": 1}, {"log": {"levels": "info"}}, {"platform": {"ipmi": {"perod": "5s"}}}):
        assert not WHOLE.is_valid(wrong)
    assert not WHOLE.is_valid({"monitor": "5s"})


def test_keys_that_are_kepler_s_are_taken_where_the_file_takes_them() -> None:
    assert WHOLE.is_valid({"experimental": {"hwmon": {"zones": ["power1"]}}})
    assert not WHOLE.is_valid({"experimental": {"hwmon": {"enabled": True}}})


def test_off_is_a_name_though_yaml_reads_it_as_false() -> None:
    assert EACH["calibration"].is_valid(False)
    assert not EACH["log.level"].is_valid(False)


def test_a_name_is_taken_as_it_is_and_not_as_a_pattern() -> None:
    dotted = Draft7Validator(one_of(["a.b"]))
    assert dotted.is_valid("A.B")
    assert not dotted.is_valid("a-b")


def test_what_is_empty_is_not_set() -> None:
    assert Draft7Validator(text()).is_valid("")
    assert not Draft7Validator(text()).is_valid("  ")


def test_every_option_has_a_schema_that_names_its_kind() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert all("type" in each.value_type.schema for each in OPTIONS.values())
