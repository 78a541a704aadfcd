"""Panels as all the dashboards have them, on the builders of grafana-foundation-sdk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    piechart,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as style
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import piechart as pie_style
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

WATTS, KWH, GRAMS, RATIO, SECONDS, BYTES, COUNT = (
    *("watt", "kwatth", "massg", "percentunit"),
    *("s", "bytes", "short"),
)
# Which currency it is, a label says: Grafana has a unit for each, and none for all.
MONEY = "short"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

AnyPanel = Builder[model.Panel]


@dataclass(frozen=True, slots=True)
class Size:
    """Columns of 24, and rows."""

    width: int
    height: int


SMALL, THIRD, HALF, WHOLE = Size(4, 4), Size(8, 9), Size(12, 9), Size(24, 10)


@dataclass(frozen=True, slots=True)
class Shown:
    """What every panel says of itself."""

    title: str
    description: str
    unit: str
    size: Size = HALF
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One query; the legend is Grafana's, with {{label}}."""

    promql: str
    legend: str = ""


class _Describable(Protocol):
    """What the builders of all kinds of panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def decimals(self, decimals: float) -> Self: ...


AnyDescribable = TypeVar("AnyDescribable", bound=_Describable)


def described(panel: AnyDescribable, shown: Shown) -> AnyDescribable:
    """The panel with what it says of itself, and its place's size."""
    panel = panel.title(shown.title).description(shown.description).datasource(SOURCE)
    panel = panel.span(shown.size.width).height(shown.size.height).unit(shown.unit)
    return panel if shown.decimals is None else panel.decimals(shown.decimals)


def targets(
    queries: Sequence[Query], *, instant: bool = False, as_table: bool = False
) -> list[Builder[Dataquery]]:
    """The queries as A, B, C, ...; instant: at the end of the range alone."""
    made: list[Builder[Dataquery]] = []
    for index, query in enumerate(queries):
        target = prometheus.Dataquery().ref_id(chr(ord("A") + index)).expr(query.promql).datasource(SOURCE)
        target = target.instant() if instant else target.range()
        target = target.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
        made.append(target.legend_format(query.legend) if query.legend else target)
    return made


def time_series(shown: Shown, *queries: Query, stacked: bool = False, logarithmic: bool = False) -> AnyPanel:
    """Lines over the range, or areas on one another."""
    panel = described(timeseries.Panel(), shown).legend(_legend()).tooltip(_tooltip())
    panel = panel.show_points(style.VisibilityMode.NEVER).line_width(1).fill_opacity(25 if stacked else 8)
    if stacked:
        panel = panel.stacking(_stacked())
    if logarithmic:
        panel = panel.scale_distribution(
            common.ScaleDistributionConfig().type(style.ScaleDistribution.LOG).log(10)
        )
    return panel.targets(targets(queries))


def hourly_bars(shown: Shown, *queries: Query) -> AnyPanel:
    """A bar an hour, for queries that look one hour back."""
    panel = described(timeseries.Panel(), shown).legend(_legend()).tooltip(_tooltip()).interval("1h")
    panel = panel.draw_style(style.GraphDrawStyle.BARS).bar_alignment(style.BarAlignment.BEFORE)
    return panel.line_width(0).fill_opacity(70).stacking(_stacked()).targets(targets(queries))


def number(shown: Shown, query: Query) -> AnyPanel:
    """The value at the end of the range, one for each series."""
    panel = described(stat.Panel(), shown).reduce_options(_last()).color_scheme(_fixed("text"))
    return panel.graph_mode(style.BigValueGraphMode.NONE).targets(targets([query], instant=True))


def ranking(shown: Shown, query: Query) -> AnyPanel:
    """A bar for each series."""
    panel = described(bargauge.Panel(), shown).orientation(style.VizOrientation.HORIZONTAL).min(0)
    panel = panel.display_mode(style.BarGaugeDisplayMode.BASIC).reduce_options(_last())
    return panel.color_scheme(_fixed("blue")).targets(targets([query], instant=True))


def pie(shown: Shown, query: Query) -> AnyPanel:
    """How a whole divides."""
    legend = piechart.PieChartLegendOptions().display_mode(style.LegendDisplayMode.TABLE).show_legend(True)
    legend = legend.placement(style.LegendPlacement.RIGHT)
    legend = legend.values([pie_style.PieChartLegendValues.VALUE, pie_style.PieChartLegendValues.PERCENT])
    panel = described(piechart.Panel(), shown).pie_type(pie_style.PieChartType.DONUT).legend(legend)
    return panel.reduce_options(_last()).targets(targets([query], instant=True))


def states(shown: Shown, query: Query, words: Mapping[str, tuple[str, str]]) -> AnyPanel:
    """What holds when; words: what each value is called, and its colour."""
    options = {
        value: model.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    panel = described(statetimeline.Panel(), shown).mappings([model.ValueMap(options=options)])
    panel = panel.show_value(style.VisibilityMode.NEVER).merge_values(True)
    return panel.targets(targets([query]))


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(style.LegendDisplayMode.LIST).show_legend(True)
    return legend.placement(style.LegendPlacement.BOTTOM)


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(style.TooltipDisplayMode.MULTI).sort(style.SortOrder.DESCENDING)


def _stacked() -> common.StackingConfig:
    return common.StackingConfig().mode(style.StackingMode.NORMAL).group("A")


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _fixed(color: str) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(color)
