from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.metrics.created_lines import CreatedLines
from exporter.metrics.exposition import Family, Renderer
from tests.exporter.reference import reference

SPECIAL = [
    0.0,
    -0.0,
    1e6,
    999999.5,
    1e10,
    1.5e16,
    1e21,
    5e-324,
    -1e9,
    float("inf"),
    float("-inf"),
    float("nan"),
]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
label_values = texts | st.sampled_from(['say "x"', "back\\slash", "new\nline", "\\n", "größe", "%s {}", ""])
values = st.floats() | st.sampled_from(SPECIAL) | st.integers(0, 10**17).map(float)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
label_names = names.filter(lambda name: not name.startswith("__"))


@st.composite
def families(draw: st.DrawFn) -> Family:
    type_ = draw(st.sampled_from(["counter", "gauge"]))
    name = draw(names) + ("_total" if type_ == "counter" else "_ratio")
    keys = tuple(draw(st.lists(label_names, max_size=4, unique=True)))
    labels = draw(st.lists(st.tuples(*[label_values] * len(keys)), max_size=6))
    starts = [draw(values) for _ in labels] if type_ == "counter" and draw(st.booleans()) else None
    return Family(name, draw(texts), type_, keys, labels, [draw(values) for _ in labels], starts)


pages = st.lists(families(), max_size=4, unique_by=lambda family: family.name)


@settings(deadline=None)
@given(pages, st.data())
def test_the_text_is_prometheus_clients_tick_after_tick(page: list[Family], data: st.DataObject) -> None:
    text, openmetrics = Renderer(), Renderer()
    for _ in range(3):
        assert text.render(page) == reference(page)
        assert openmetrics.render(page, openmetrics=True) == reference(page, openmetrics=True)
        page = [_next_tick(family, data.draw) for family in page]


def _next_tick(family: Family, draw: st.DrawFn) -> Family:
    """Some series go, one may come, some values change; now and then as a numpy array."""
    starts = family.created if family.created is not None else [0.0] * len(family.labels)
    rows = [row for row in zip(family.labels, family.values, starts, strict=True) if draw(st.integers(0, 4))]
    if draw(st.booleans()):
        rows.append((draw(st.tuples(*[label_values] * len(family.label_names))), 0.0, draw(values)))
    series = [draw(values) if draw(st.booleans()) else value for _, value, _ in rows]
    new = np.array(series, dtype=np.float64) if draw(st.booleans()) else series
    # A row that went and came again between two pages has the same labels and another start.
    created = [start if draw(st.integers(0, 4)) else draw(values) for _, _, start in rows]
    return replace(
        family,
        labels=[labels for labels, _, _ in rows],
        values=new,
        created=created if family.created is not None else None,
    )


def _family(count: int, values: np.ndarray, first: int = 0) -> Family:
    labels = [(f"container-{first + index}", "package") for index in range(count)]
    starts = 1.7e9 + np.arange(first, first + count) / 8
    return Family("joules_total", "Joules", "counter", ("container_id", "zone"), labels, values, starts)


def test_a_thousand_series_keep_up_with_their_values() -> None:
    random, renderer = np.random.default_rng(7), Renderer()
    joules = random.random(1000) * 1e7
    for tick in range(10):
        joules[random.random(1000) < tick / 10] += random.random()
        page = [_family(1000, joules, first=100 * tick)]
        assert renderer.render(page) == reference(page)
        assert renderer.render(page, openmetrics=True) == reference(page, openmetrics=True)


def test_what_the_caller_does_to_its_lists_afterwards_does_not_matter() -> None:
    renderer, joules = Renderer(), np.array([1.0, 2.0])
    family = _family(2, joules)
    renderer.render([family])
    joules[0] = 5.0
    family.labels[1] = ('other "one"', "dram")
    assert renderer.render([family]) == reference([family])


def test_a_family_that_changes_its_help_and_labels_is_written_anew() -> None:
    renderer = Renderer()
    renderer.render([_family(2, np.ones(2))])
    other = replace(_family(1, np.ones(1)), help="Other", label_names=("zone", "container_id"))
    assert renderer.render([other]) == reference([other])


def test_the_lines_of_rows_that_stay_are_not_made_again() -> None:
    lines, labels = CreatedLines("joules_total"), tuple((str(row),) for row in range(4))
    texts = [b'{row="%s"} ' % row.encode() for (row,) in labels]
    before = lines.of(labels, texts, np.arange(4.0))
    assert before[1] == b'\njoules_created{row="1"} 1.0'
    assert lines.of(labels, texts, np.arange(4.0)) is before
    fewer = lines.of(labels[1:], texts[1:], np.array([1.0, 2.0, 9.0]))
    assert (fewer[0] is before[1], fewer[1] is before[2]) == (True, True)
    assert fewer[2] == b'\njoules_created{row="3"} 9.0'


def test_families_with_one_tuple_of_labels_keep_their_text_once() -> None:
    joules = _family(3, np.ones(3))
    labels = tuple(joules.labels)
    page = [
        replace(joules, labels=labels),
        replace(joules, name="watts", type="gauge", labels=labels, created=None),
        replace(joules, name="others_total", label_names=("b", "a"), labels=labels),
    ]
    renderer = Renderer()
    assert renderer.render(page) == reference(page)
    first, second, others = (renderer._lines[family.name].label_texts for family in page)
    assert list(map(id, first)) == list(map(id, second))
    assert not set(first) & set(others)
    rest = labels[1:]
    fewer = [replace(family, labels=rest, values=np.ones(2), created=None) for family in page[:2]]
    assert renderer.render(fewer) == reference(fewer)


def test_an_error_leaves_nothing_behind_that_counts_as_rendered() -> None:
    renderer, good = Renderer(), _family(2, np.ones(2))
    renderer.render([good])
    changed = replace(good, values=np.array([3.0, 4.0]))
    with pytest.raises(ValueError, match="gauge"):
        renderer.render([changed, replace(good, name="x", type="histogram")])
    assert renderer.render([changed]) == reference([changed])


def test_100_000_short_lived_series_leave_no_memory_behind() -> None:
    renderer = Renderer()
    for first in range(0, 100_000, 1000):
        renderer.render([_family(1000, np.ones(1000), first)], openmetrics=True)
    renderer.render([_family(1, np.ones(1))], openmetrics=True)
    (lines,) = renderer._lines.values()
    assert len(lines.labels) == 1
    assert len(lines._pieces) == 4
    assert len(lines._created_lines._lines) == 1
    renderer.render([])
    assert not renderer._lines


def test_a_name_that_is_no_utf_8_costs_its_own_letters_only() -> None:
    family = replace(_family(1, np.ones(1)), labels=[(b"a\xffb".decode(errors="surrogateescape"), "package")])
    assert b'container_id="a?b"' in Renderer().render([family])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "joules"}, "_total"),
        ({"name": "jou:les_total"}, "not a metric name"),
        ({"type": "summary"}, "neither counter nor gauge"),
        ({"label_names": ("a", "a")}, "all different"),
        ({"label_names": ("__a", "b")}, "label names"),
        ({"label_names": ("a",)}, "1 label names"),
        ({"values": np.ones(3)}, "2 label tuples"),
        ({"created": np.ones(3)}, "starts of shape"),
        ({"name": "joules", "type": "gauge"}, "a gauge has no start"),
    ],
)
def test_a_family_that_prometheus_would_refuse_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Renderer().render([replace(_family(2, np.ones(2)), **change)])


def test_a_family_must_not_come_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        Renderer().render([_family(1, np.ones(1)), _family(1, np.ones(1))])
