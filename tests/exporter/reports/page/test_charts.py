"""Charts say what the figures say: lengths, orders, ends."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from exporter.reports.page.charts.changes import (
    carbon_steps,
    carbon_waterfall,
    energy_steps,
    energy_waterfall,
)
from exporter.reports.page.charts.days import columns, days_chart, height_of, labelled
from exporter.reports.page.charts.groups import SHOWN, bars, groups_chart
from exporter.reports.page.charts.sources import in_words, sources_chart
from exporter.reports.page.charts.wasters import wasters_chart
from exporter.reports.page.figures import day
from exporter.reports.page.scales import Scale
from exporter.reports.summary import Change, Group, Waster
from tests.exporter.reports.page.example import DAY, KWH, OCTOBER, amount, example, small

MONTH = example()


def rects(markup: str) -> list[tuple[str, float]]:
    """The class and the width in percent of every bar."""
    found = re.findall(
        r'<rect x="[\d.e-]+%" y="[\d.e-]+" width="([\d.e-]+)%" height="[\d.e-]+" class="([^"]+)"', markup
    )
    return [(css, float(width)) for width, css in found]


# --- days


def test_a_day_is_as_high_as_all_of_its_kinds() -> None:
    for i, column in enumerate(columns(MONTH)):
        joules = sum(by_day[i] for by_day in MONTH.joules_by_day.values())
        assert column.whole == pytest.approx(joules / KWH)


def test_idle_is_at_the_bottom_and_overhead_on_top() -> None:
    kinds = [kind for kind, _ in columns(MONTH)[0].parts]
    assert kinds == ["idle", "idle_share", "active", "unattributed", "overhead"]


def test_a_difference_below_zero_has_no_height() -> None:
    summary = small(days=(0,), joules_by_day={"active": (KWH,), "difference": (-0.5 * KWH,)})
    assert columns(summary)[0].whole == 1.0


def test_bounds_are_drawn_where_they_are_known() -> None:
    assert days_chart(MONTH).count('class="whisker"') == 31
    without = replace(MONTH, low_joules_by_day=(), high_joules_by_day=())
    assert "whisker" not in days_chart(without)
    assert columns(without)[0].bounds is None


@pytest.mark.parametrize(("count", "most"), [(31, 12), (31, 4), (365, 12), (365, 4), (1, 12), (12, 12)])
def test_no_more_dates_are_written_than_there_is_room_for(count: int, most: int) -> None:
    chosen = labelled([OCTOBER + i * DAY for i in range(count)], most)
    assert 0 in chosen
    assert 1 <= len(chosen) <= most
    assert count < 100 or {day(OCTOBER + i * DAY).partition(" ")[0] for i in chosen} == {"1"}


def test_a_year_is_drawn_and_no_days_are_not() -> None:
    year = replace(
        MONTH,
        days=tuple(range(0, 365 * 86_400, 86_400)),
        joules_by_day={"active": (KWH,) * 365},
        low_joules_by_day=(),
        high_joules_by_day=(),
    )
    assert days_chart(year).count("<rect") == 365
    assert days_chart(small()) == ""


def test_heights_are_in_proportion() -> None:
    scale = Scale(0.0, 80.0)
    assert height_of(60.0, scale) == pytest.approx(3 * height_of(20.0, scale))


# --- groups


def test_the_largest_are_shown_and_the_others_are_together() -> None:
    drawn = bars(MONTH.groups)
    assert len(drawn) == SHOWN
    assert [each.joules for each in drawn[:-1]] == sorted((each.joules for each in drawn[:-1]), reverse=True)
    assert sum(each.joules for each in drawn) == pytest.approx(
        sum(group.amount.joules for group in MONTH.groups)
    )
    assert drawn[-1].name == f"All others, {len(MONTH.groups) - SHOWN + 1} rows"


def test_twelve_are_twelve_and_not_eleven_and_one_other() -> None:
    groups = [Group((f"n{i}",), amount(KWH), KWH, 0.0) for i in range(SHOWN)]
    assert [each.name for each in bars(groups)] == [f"n{i}" for i in range(SHOWN)]


def test_what_is_nothing_and_was_nothing_has_no_bar() -> None:
    groups = [Group(("(difference)",), amount(0.0), 0.0, 0.0), Group(("a",), amount(KWH), KWH, 0.0)]
    assert [each.name for each in bars(groups)] == ["a"]


def test_a_bar_is_as_long_as_its_energy() -> None:
    groups = tuple(
        Group((name,), amount(joules), joules, 0.0) for name, joules in (("a", 4 * KWH), ("b", KWH))
    )
    (_, first), (_, second) = rects(groups_chart(small(groups=groups)))
    assert first / second == pytest.approx(4, rel=1e-3)


def test_nobodys_energy_has_the_colour_of_its_kind_and_a_namespace_in_brackets_has_not() -> None:
    groups = tuple(Group((name,), amount(KWH), 0.0, 0.0) for name in ("(idle)", "(none)"))
    idle, none = bars(groups)
    assert (idle.name, idle.css) == ("Idle", "kind-idle")
    assert (none.name, none.css) == ("(none)", "somebodys")


def test_nobodys_energy_keeps_the_name_of_its_nodes() -> None:
    (idle,) = bars([Group(("gpu", "(idle)", "(idle)"), amount(KWH), 0.0, 0.0)])
    assert (idle.name, idle.note) == ("Idle", "gpu\u202f\u00b7 nobody's")


def test_the_month_before_is_a_tick_only_where_there_was_one() -> None:
    assert "The month before" in groups_chart(MONTH)
    assert "before" not in groups_chart(small())


# --- sources, change, wasters


def test_measured_comes_first_and_all_of_it_fills_the_bar() -> None:
    widths = rects(sources_chart({"model:a@0123456789abcdef": KWH, "measured:rapl": 3 * KWH}))
    assert widths[:2] == [("measured", 75.0), ("modelled", 25.0)]
    assert "75.0\u202f% measured, 25.0\u202f% by models." in sources_chart(
        {"model:a": KWH, "measured": 3 * KWH}
    )
    assert sources_chart({}) == ""


def test_a_source_is_told_in_words() -> None:
    assert in_words("measured:rapl") == ("Measured, rapl", "")
    assert in_words("model:xeon@0f1e") == ("Model xeon", "0f1e")
    assert in_words("unknown") == ("Source unknown", "")


def test_each_step_begins_where_the_last_ended_and_together_is_the_whole() -> None:
    change = Change(3.0, 5.0, -4.0, 1.5, 0.5, 10.0, 4.0, 6.0)
    *parts, together = energy_steps(change)
    assert [(step.start, step.end) for step in parts] == [(0, 5), (5, 1), (1, 2.5), (2.5, 3)]
    assert (together.start, together.end) == (0, change.joules)
    assert carbon_steps(change)[-1].end == change.grams


def test_what_adds_and_what_takes_away_have_other_colours() -> None:
    drawn = [css for css, _ in rects(energy_waterfall(Change(1.0, 5.0, -4.0, 0.0, 0.0)))]
    assert drawn[:2] == ["more", "less"]
    assert drawn[-1] == "more together"
    assert carbon_waterfall(Change(1.0, 5.0, -4.0, 0.0, 0.0)) == ""


def test_what_rounding_leaves_is_told_as_nothing() -> None:
    told = carbon_waterfall(Change(1.0, 1.0, 0.0, 0.0, 0.0, 9e3, 9e3, -1e-9))
    assert "<b>0\u202fkg</b>" in told


def test_no_change_at_all_is_drawn_as_none() -> None:
    assert {width for _, width in rects(energy_waterfall(Change(0.0, 0.0, 0.0, 0.0, 0.0)))} == {0.0}


def test_what_was_used_is_within_what_was_reserved() -> None:
    waster = Waster(("shop", "web"), 1_000.0 * 3600, 250.0 * 3600, KWH)
    assert rects(wasters_chart([waster]))[:2] == [("reserved", 100.0), ("used", 25.0)]
    assert "25.0\u202f% used" in wasters_chart([waster])
    assert wasters_chart([replace(waster, requested_cpu_seconds=0.0)]) == ""
