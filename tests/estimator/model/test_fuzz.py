"""A model file that is wrong anywhere is refused with its name, soon, whatever is wrong with it."""

from __future__ import annotations

import copy
import gc
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.errors import ModelInvalid
from estimator.model.file import MOST_BYTES, load_model, parse_model, render_model
from estimator.model.forest import MOST_NODES
from estimator.model.power_model import PowerModel

Path = tuple[str | int, ...]


def content() -> dict[str, Any]:
    """A file with every kind in it; the trees: feature 0 at 5e8, then feature 1 at 2e6 on the right."""
    return {
        "name": "mine",
        "created": "2026-11-21",
        "machine": dict.fromkeys(
            ("vendor", "family", "model", "microarchitecture", "cores", "sockets", "tdp_watts")
        ),
        "features": {"cycles": "1", "cache_misses": "1"},
        "zones": {
            "package": {
                "kind": "trees",
                "features": ["cycles", "cache_misses"],
                "limits": [2e9, 3e6],
                "share": 0.5,
                "linear": {
                    "idle_watts_per_cpu": 1.0,
                    "extends": ["cycles"],
                    "terms": [{"feature": "cycles", "power": 3, "watts_per_cpu": 2.0}],
                },
                "trees": {
                    "baseline_watts_per_cpu": 2.0,
                    "root": [0, 5],
                    "feature": [0, -1, 1, -1, -1, -1],
                    "threshold": [5e8, 0, 2e6, 0, 0, 0],
                    "left": [1, -1, 3, -1, -1, -1],
                    "right": [2, -1, 4, -1, -1, -1],
                    "value": [0, -1, 0, 0.5, 1.5, 0.1],
                },
                "coefficients": {"cycles": 2e-9},
                "interval": {
                    "coverage": 0.9,
                    "watts_per_cpu": 0.5,
                    "outside": {"watts_per_cpu": 1.5},
                    "by_load": {"load": [0.1, 0.5], "watts_per_cpu": [0.1, 0.2, 0.5]},
                },
            },
            "dram": {
                "kind": "linear",
                "idle_watts": 40.0,
                "coefficients": {"cache_misses": 2e-7},
                "held": {"cache_misses": 3e6},
                "interval": {"coverage": 0.9, "watts": 8.0},
            },
            "platform": {
                "kind": "curve",
                "idle_watts_per_cpu": 1.0,
                "full_watts_per_cpu": 4.0,
                "load": [0, 0.5, 1],
                "draw": [0, 0.7, 1],
                "interval": {"coverage": 0.9, "idle_factor": 2.0, "full_factor": 1.5},
            },
        },
        "envelope": {"cycles": [1e8, 4e9]},
        "scores": {"later_part": {"package": {"rows": 10, "mae_watts": 11.0}}},
        "training": {"rows": 100, "source": "table.csv", "sha256": "0" * 64},
    }


def places(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in members:
        yield from places(member, (*path, key))


def with_changed(path: Path, to: object) -> dict[str, Any]:
    document = copy.deepcopy(content())
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return document


def read_in_time(text: str) -> PowerModel | None:
    """The model, or None if it was refused by name; either within 100 ms.

    Of this thread, and without collecting what the other tests left behind.
    """
    gc.disable()
    start = time.thread_time()
    try:
        model, message = parse_model("bad.json", text), ""
    except ModelInvalid as error:
        model, message = None, str(error)
    took = time.thread_time() - start
    gc.enable()
    assert took < 0.1
    assert model or message.startswith("model bad.json: field ")
    return model


def is_usable(model: PowerModel) -> bool:
    """Whatever was let through predicts finite energy, inside its bounds."""
    for zone in model.zones.values():
        features = dict.fromkeys((*zone.needs(), "cpu_seconds"), 1e10)
        joules, low, high = zone.predict(features, 8, 5.0)
        if not 0 <= low <= joules <= high < float("inf") or not zone.idle_watts(8) >= 0:
            return False
    return True


TEXT = render_model(content())
PLACES = list(places(content()))
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([-1, 0, 1, 3, 1e-300, 1e308, 10**400, "", "cycles", [], {}, [[]], [0] * 100]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.integers(-2, 7), max_size=8),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)


def test_the_sound_file_is_read() -> None:
    model = read_in_time(TEXT)
    assert model is not None
    assert is_usable(model)
    package = model.zones["package"]
    inside = {"cycles": 8e9, "cache_misses": 0.0}
    # trees: 2 + 0.5 + 0.1; linear: 1 + 2 · (1e9 / 2e9)³
    assert package.predict(inside, 8, 1.0).joules == pytest.approx(8 * (0.5 * 2.6 + 0.5 * 1.25))


@settings(max_examples=400)
@given(st.sampled_from(PLACES), anything)
def test_any_value_anywhere_is_refused_or_harmless(path: Path, value: object) -> None:
    model = read_in_time(render_model(with_changed(path, value)))
    assert model is None or is_usable(model)


@settings(max_examples=200)
@given(st.integers(0, len(TEXT) - 2))
def test_a_truncated_file_is_refused(length: int) -> None:
    assert read_in_time(TEXT[:length]) is None


@settings(max_examples=200)
@given(st.integers(0, len(TEXT) - 1), st.characters())
def test_a_changed_letter_is_refused_or_changes_nothing(at: int, letter: str) -> None:
    changed = TEXT[:at] + letter + TEXT[at + 1 :]
    model = read_in_time(changed)
    assert model is None or json.loads(changed) == json.loads(TEXT)


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("sound", ['"share": 0.5', '"mae_watts": 11.0', '"cycles": 2e-09'])
def test_no_nan_and_no_infinity_anywhere(sound: str, bad: str) -> None:
    assert TEXT.count(sound) == 1
    assert read_in_time(TEXT.replace(sound, f"{sound.split(': ')[0]}: {bad}")) is None


TREES: Path = ("zones", "package", "trees")


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ((*TREES, "left"), [0, -1, 3, -1, -1, -1], "trees.left"),  # its own child: a walk without end
        ((*TREES, "right"), [2, -1, 0, -1, -1, -1], "trees.right"),  # back to the root
        ((*TREES, "right"), [2, -1, 3, -1, -1, -1], "trees.root"),  # a child of two, and one of nobody
        ((*TREES, "left"), [1, -1, 5, -1, -1, -1], "trees.root"),  # into the next tree
        ((*TREES, "left"), [1, -1, 6, -1, -1, -1], "trees.left"),  # beyond the end
        ((*TREES, "left"), [1, 3, 3, -1, -1, -1], "trees.left"),  # a leaf with a child
        ((*TREES, "left"), [1.5, -1, 3, -1, -1, -1], "trees.left"),
        ((*TREES, "root"), [], "trees.root"),
        ((*TREES, "root"), [0, 9], "trees.root"),
        ((*TREES, "root"), [-1, 5], "trees.root"),
        ((*TREES, "feature"), [2, -1, 1, -1, -1, -1], "trees.feature"),
        ((*TREES, "value"), [0.0], "trees.value"),
        ((*TREES, "value", 3), "0.5", "trees.value[3]"),
        ((*TREES, "value", 3), True, "trees.value[3]"),
        ((*TREES, "threshold", 0), 10**400, "trees.threshold[0]"),
        ((*TREES, "value"), [0] * (MOST_NODES + 1), "trees.value"),
        (("zones", "package", "limits", 1), 0, "limits[1]"),
        (("zones", "package", "limits"), [1.0], "limits"),
        (("zones", "package", "features"), ["cycles", "cycles"], "features"),
        (("zones", "package", "linear"), None, "share"),
        (("zones", "package", "linear", "terms", 0, "watts_per_cpu"), -2.0, "linear.terms[0].watts_per_cpu"),
        (("zones", "package", "linear", "terms", 0, "feature"), "joy", "linear.terms[0].feature"),
        (("zones", "package", "linear", "extends"), ["joy"], "linear.extends[0]"),
        (("zones", "package", "coefficients", "cycles"), -1e-9, "coefficients.cycles"),
        (("zones", "package", "interval", "by_load", "load"), [0.5, 0.1], "interval.by_load.load"),
        (("zones", "package", "interval", "by_load", "load"), [0.5], "interval.by_load.watts_per_cpu"),
    ],
)
def test_what_is_wrong_is_named(path: Path, value: object, field: str) -> None:
    with pytest.raises(ModelInvalid) as refused:
        parse_model("bad.json", render_model(with_changed(path, value)))
    zone = ".".join(map(str, path[:2]))
    assert f"bad.json: field {zone}.{field}:" in str(refused.value)


def chain(n_nodes: int) -> dict[str, Any]:
    """A tree that is as deep as it can be: every left child is a leaf."""
    inner = (n_nodes - 1) // 2
    return {
        "baseline_watts_per_cpu": 0,
        "root": [0],
        "feature": [0, -1] * inner + [-1],
        "threshold": [0] * n_nodes,
        "left": [part for at in range(inner) for part in (2 * at + 1, -1)] + [-1],
        "right": [part for at in range(inner) for part in (2 * at + 2, -1)] + [-1],
        "value": [0] * n_nodes,
    }


def test_a_tree_too_deep_to_walk_in_time_is_refused() -> None:
    text = render_model(with_changed(TREES, chain(9_999)))
    assert read_in_time(text) is None
    assert read_in_time(render_model(with_changed(TREES, chain(99)))) is not None


@pytest.mark.parametrize(
    "text",
    [
        "[" * MOST_BYTES,
        '{"a":' * 100_000,
        '{"schema": "podjoule.model/1", "x": [' + "0," * (MOST_BYTES // 2 - 40) + "NaN]}",
        '{"schema": "podjoule.model/1", "x": [' + "[]," * 1_990 + "0]}",
        '{"schema": "podjoule.model/1", "x": ' + "9" * 100_000 + "}",
        "{" + "[]," * (MOST_BYTES // 3 - 20) + "}",
        " " * (MOST_BYTES + 1),
    ],
    ids=["brackets", "objects", "numbers", "lists", "digits", "too many lists", "spaces"],
)
def test_what_is_large_is_refused_in_time(text: str) -> None:
    assert read_in_time(text) is None


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    from pathlib import Path as FilePath

    with pytest.raises(ModelInvalid, match="/dev/zero"):
        load_model(FilePath("/dev/zero"))
