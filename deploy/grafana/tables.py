"""Tables: of values, where rows of several queries meet, and of facts, where the labels are what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.panels import AnyPanel, Query, Shown, described, targets


@dataclass(frozen=True, slots=True)
class Column:
    """A column of values. decimals: None leaves them to Grafana."""

    heading: str
    unit: str
    promql: str
    decimals: int | None = None


def values_table(shown: Shown, labels: Mapping[str, str], *columns: Column) -> AnyPanel:
    """A row for each set of labels (label -> heading), the greatest of the first column first."""
    queries = [Query(column.promql) for column in columns]
    panel = described(table.Panel(), shown).targets(targets(queries, instant=True, as_table=True))
    names = _value_names(len(columns))
    headings = dict(zip(names, (column.heading for column in columns), strict=True))
    if len(columns) > 1:
        panel = panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(_organize({**labels, **headings}, ("Time",)))
    for column in columns:
        panel = panel.override_by_name(column.heading, _format(column))
    return panel.sort_by([common.TableSortByFieldState().display_name(columns[0].heading).desc(True)])


def facts_table(shown: Shown, labels: Mapping[str, str], promql: str) -> AnyPanel:
    """A row for each series: its labels (label -> heading) are all that it has; its value is always 1."""
    panel = described(table.Panel(), shown).targets(targets([Query(promql)], instant=True, as_table=True))
    return panel.with_transformation(_organize(labels, ("Time", "Value")))


def _value_names(count: int) -> list[str]:
    """What Grafana calls the values of tables: Value, or Value #A, Value #B, ... where there are several."""
    return ["Value"] if count == 1 else [f"Value #{chr(ord('A') + index)}" for index in range(count)]


def _organize(headings: Mapping[str, str], hidden: tuple[str, ...]) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: index for index, name in enumerate(headings)},
            "renameByName": dict(headings),
        },
    )


def _format(column: Column) -> list[model.DynamicConfigValue]:
    unit = model.DynamicConfigValue(id_val="unit", value=column.unit)
    if column.decimals is None:
        return [unit]
    return [unit, model.DynamicConfigValue(id_val="decimals", value=column.decimals)]
