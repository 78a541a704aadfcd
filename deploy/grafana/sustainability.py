"""Dashboard *Sustainability*: who uses the energy, what it emits and what it costs."""

from __future__ import annotations

from collections.abc import Callable

from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.boards import board
from deploy.grafana.consumers import greatest_kwh, parts_kwh
from deploy.grafana.panels import (
    GRAMS,
    KWH,
    MONEY,
    RATIO,
    SMALL,
    THIRD,
    WATTS,
    WHOLE,
    AnyPanel,
    Query,
    Shown,
    Size,
    hourly_bars,
    number,
    pie,
    ranking,
    time_series,
)
from deploy.grafana.queries import (
    CARBON,
    CLUSTER,
    COST,
    ENERGY,
    NAMESPACE,
    NODE,
    POD_IDENTITY,
    RANGE,
    Quantity,
    beside_pods,
    in_energy_zones,
    node_total,
    or_no_price,
    pod_total,
    rate_of,
    with_gpus,
    with_workload,
)
from deploy.grafana.tables import Column, values_table

_Totals = Callable[[Quantity], str]

REST = "(idle and beside pods)"
_REST_LEGEND = REST + " {{cluster}}"
_NAMESPACES = (*CLUSTER, "pod_namespace")
_REST_SAYS = (
    f' "{REST}" is what the nodes used beyond their pods: idle power, system services, containers'
    " and machines that Kubernetes does not know. With it the rows add up to the nodes."
)
_NO_PRICE_SAYS = (
    " Without a configured price the currency reads 'no price configured' and the cost is 0;"
    " docs/configuration.md says how to give one."
)


def sustainability() -> model.Dashboard:
    """The dashboard."""
    return board(
        "podjoule-sustainability",
        "podjoule / Sustainability",
        "kWh, grams of CO2e and cost by namespace, workload and pod.",
        ("cluster", "node", "namespace"),
        {
            "In this range": _totals(),
            "Trend": _trend(),
            "Who": _who(),
        },
    )


def _totals() -> list[AnyPanel]:
    idle = with_gpus(
        "kepler_node_cpu_idle_joules_total", lambda counter: f"increase({counter}{{{NODE}}}[{RANGE}])"
    )
    idle_kwh = f"sum ({in_energy_zones(idle, RANGE)}) / 3.6e6"
    return [
        number(
            Shown(
                "Energy",
                "What the chosen nodes used in this range: of each node the zones that count"
                " (podjoule_energy_zone_info: platform or psys, else package, dram and gpu), idle included.",
                KWH,
                SMALL,
                3,
            ),
            Query(node_total(ENERGY)),
        ),
        number(
            Shown(
                "Emissions",
                "Grams of CO2e of that energy at the grid's intensity of each moment, PUE included.",
                GRAMS,
                SMALL,
                1,
            ),
            Query(node_total(CARBON)),
        ),
        number(
            Shown("Cost", "What that energy cost, by currency." + _NO_PRICE_SAYS, MONEY, SMALL, 2),
            Query(or_no_price(node_total(COST), node_total(CARBON), ()), "{{currency}}"),
        ),
        number(
            Shown("Power", "What the chosen nodes draw now, idle included.", WATTS, SMALL, 1),
            Query(rate_of(ENERGY, ENERGY.node_counter, NODE, ())),
        ),
        number(
            Shown(
                "Idle share",
                "The part of the energy that the nodes would have drawn with nothing to do:"
                " fewer, fuller nodes would save most of it.",
                RATIO,
                SMALL,
                1,
            ),
            Query(f"{idle_kwh} / ({node_total(ENERGY)})"),
        ),
        number(
            Shown(
                "Grid intensity",
                "Grams of CO2e per kWh, by grid zone and provider; the built-in table's world average"
                " where nothing is configured.",
                "suffix: g/kWh",
                SMALL,
                0,
            ),
            Query(
                f"max by (cluster, zone, provider) (podjoule_grid_carbon_intensity_grams_per_kwh{{{NODE}}})",
                "{{zone}} ({{provider}}) {{cluster}}",
            ),
        ),
    ]


def _trend() -> list[AnyPanel]:
    pods = rate_of(ENERGY, ENERGY.pod_counter, NODE, CLUSTER)
    active = rate_of(ENERGY, "kepler_node_cpu_active_joules_total", NODE, CLUSTER)
    half = Size(12, 9)
    return [
        time_series(
            Shown(
                "Power by namespace",
                "Active power of the pods of each namespace, what else is active on the nodes, and idle"
                " power. Together they are what the nodes draw.",
                WATTS,
                half,
            ),
            Query(
                rate_of(ENERGY, ENERGY.pod_counter, NAMESPACE, _NAMESPACES), "{{pod_namespace}} {{cluster}}"
            ),
            Query(f"clamp_min({active} - ({pods} or 0 * ({active})), 0)", "(beside pods) {{cluster}}"),
            Query(rate_of(ENERGY, "kepler_node_cpu_idle_joules_total", NODE, CLUSTER), "(idle) {{cluster}}"),
            stacked=True,
        ),
        hourly_bars(
            Shown("Energy per hour", "kWh of each hour by namespace." + _REST_SAYS, KWH, half, 3),
            Query(pod_total(ENERGY, NAMESPACE, _NAMESPACES, "1h"), "{{pod_namespace}} {{cluster}}"),
            Query(beside_pods(ENERGY, {}, "1h"), _REST_LEGEND),
        ),
        time_series(
            Shown(
                "Emissions by namespace",
                "Grams of CO2e an hour at the power and the grid intensity of the moment." + _REST_SAYS,
                "suffix: g/h",
                half,
            ),
            Query(_hourly_by_namespace(CARBON), "{{pod_namespace}} {{cluster}}"),
            Query(_hourly_rest(CARBON), _REST_LEGEND),
            stacked=True,
        ),
        time_series(
            Shown(
                "Cost by namespace",
                "Money an hour at the power and the price of the moment."
                " Without a configured price the currency reads 'no price configured' and the cost is 0.",
                "suffix: /h",
                half,
            ),
            Query(
                or_no_price(_hourly_by_namespace(COST), _hourly_by_namespace(CARBON)),
                "{{pod_namespace}} {{cluster}} {{currency}}",
            ),
            Query(or_no_price(_hourly_rest(COST), _hourly_rest(CARBON)), _REST_LEGEND + " {{currency}}"),
            stacked=True,
        ),
    ]


def _who() -> list[AnyPanel]:
    return [
        pie(
            Shown(
                "Where the energy went",
                "All energy of the chosen nodes in this range: what was active, by kind of workload; idle;"
                " and what is charged to nobody (podjoule_node_unattributed_joules_total says why).",
                KWH,
                THIRD,
                3,
            ),
            Query(parts_kwh(), "{{part}}"),
        ),
        ranking(
            Shown(
                "Top consumers",
                "The ten that used the most active energy in this range: pods, other containers, virtual"
                " machines, system services and users.",
                KWH,
                Size(16, 9),
                4,
            ),
            Query(greatest_kwh(10), "{{consumer}} {{cluster}}"),
        ),
        _table("By namespace", {"pod_namespace": "Namespace"}, Size(12, 10)),
        _by_workload(),
        _table("By pod", {"pod_namespace": "Namespace", "pod_name": "Pod"}, WHOLE),
    ]


def _table(title: str, labels: dict[str, str], size: Size) -> AnyPanel:
    """Energy, emissions and cost of pods by some of their labels."""

    def totals(quantity: Quantity) -> str:
        rest = beside_pods(quantity, dict.fromkeys(labels, REST))
        return f"{pod_total(quantity, NAMESPACE, (*CLUSTER, *labels))} or {rest}"

    return values_table(
        _of_table(title, size), {"cluster": "Cluster", **labels, "currency": "Currency"}, *_columns(totals)
    )


def _by_workload() -> AnyPanel:
    labels = {"pod_namespace": "Namespace", "workload_kind": "Kind", "workload_name": "Workload"}
    by_pod = POD_IDENTITY

    def totals(quantity: Quantity) -> str:
        rest = beside_pods(quantity, dict.fromkeys(labels, REST))
        pods = pod_total(quantity, NAMESPACE, by_pod)
        return f"{with_workload(pods, (*_NAMESPACES, *quantity.extra))} or {rest}"

    shown = _of_table("By workload", Size(12, 10))
    return values_table(shown, {"cluster": "Cluster", **labels, "currency": "Currency"}, *_columns(totals))


def _of_table(title: str, size: Size) -> Shown:
    kinds = (
        " A workload is what a person made (Deployment, CronJob, ...); kind 'unknown' is a pod that"
        " Kubernetes has not told of."
        if "workload" in title
        else ""
    )
    text = "Active energy in this range, what it emitted and what it cost." + kinds
    return Shown(title, text + _REST_SAYS + _NO_PRICE_SAYS, KWH, size)


def _columns(totals: _Totals) -> tuple[Column, ...]:
    return (
        Column("Energy", KWH, totals(ENERGY), 4),
        Column("Emissions", GRAMS, totals(CARBON), 2),
        Column("Cost", MONEY, or_no_price(totals(COST), totals(CARBON)), 4),
    )


def _hourly_by_namespace(quantity: Quantity) -> str:
    return f"3600 * {rate_of(quantity, quantity.pod_counter, NAMESPACE, _NAMESPACES)}"


def _hourly_rest(quantity: Quantity) -> str:
    nodes = rate_of(quantity, quantity.node_counter, NODE, CLUSTER)
    pods = rate_of(quantity, quantity.pod_counter, NODE, CLUSTER)
    return f"3600 * clamp_min({nodes} - ({pods} or 0 * ({nodes})), 0)"
