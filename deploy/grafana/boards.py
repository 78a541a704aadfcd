"""A dashboard around its panels: variables, links, places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.panels import SOURCE, AnyPanel
from deploy.grafana.queries import ENERGY, NAMESPACE, NODE

_VALUES = {
    "cluster": ("Cluster", "label_values(podjoule_build_info, cluster)"),
    "node": ("Node", 'label_values(podjoule_build_info{cluster=~"$cluster"}, node_name)'),
    "namespace": ("Namespace", f"label_values({ENERGY.pod_counter}{{{NODE}}}, pod_namespace)"),
    "pod": ("Pod", f"label_values({ENERGY.pod_counter}{{{NAMESPACE}}}, pod_name)"),
}


def board(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[str],
    rows: Mapping[str, Sequence[AnyPanel]],
) -> model.Dashboard:
    """The dashboard; variables: of cluster, node, namespace, pod. rows: panels from the left, by heading."""
    made = dashboard.Dashboard(title).uid(uid).description(description).tags(["podjoule"]).readonly()
    made = made.timezone("browser").time("now-6h", "now").refresh("1m")
    made = made.tooltip(model.DashboardCursorSync.CROSSHAIR).variables(
        [
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
            *(_variable(name) for name in variables),
        ]
    )
    made = made.link(_link_to_the_others())
    for heading, panels in rows.items():
        made = made.with_row(dashboard.Row(heading))
        for panel in panels:
            made = made.with_panel(panel)
    return _numbered(made.build())


def _link_to_the_others() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("podjoule").type(model.DashboardLinkType.DASHBOARDS).tags(["podjoule"])
    return link.as_dropdown(False).include_vars(True).keep_time(True)


def _variable(name: str) -> dashboard.QueryVariable:
    """Any of its values, or all; those that have gone stay to be chosen, since the range may hold them."""
    label, query = _VALUES[name]
    made = dashboard.QueryVariable(name).label(label).datasource(SOURCE)
    made = made.query({"query": query, "refId": f"{name}-values"})
    made = made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made = made.sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    made = made.multi(True).include_all(True).all_value(".*")
    return made.current(model.VariableOption(selected=True, text="All", value="$__all"))


def _numbered(made: model.Dashboard) -> model.Dashboard:
    for number, panel in enumerate(made.panels or [], start=1):
        panel.id_val = number
    return made
