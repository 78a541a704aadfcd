"""Dashboard *GPU*: what each GPU draws, who keeps it busy, and who holds one that idles."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.boards import board
from deploy.grafana.panels import (
    COUNT,
    KWH,
    RATIO,
    WATTS,
    WHOLE,
    AnyPanel,
    Query,
    Shown,
    Size,
    number,
    time_series,
)
from deploy.grafana.queries import CLUSTER, MACHINE, NAMESPACE, NODE, RANGE, RATE
from deploy.grafana.tables import Column, facts_table, values_table

_TOTAL, _IDLE, _ACTIVE = (
    f"kepler_node_gpu_{what}joules_total{{{NODE}}}" for what in ("", "idle_", "active_")
)
_PODS = f"kepler_pod_gpu_joules_total{{{NAMESPACE}}}"
_RESERVED = f"podjoule_pod_gpu_idle_joules_total{{{NAMESPACE}}}"
_GPU = (*MACHINE, "gpu", "gpu_uuid", "gpu_name", "vendor")
_NAMES = (*CLUSTER, "pod_namespace", "pod_name")
_OF_POD = "{{pod_namespace}}/{{pod_name}} {{cluster}}"
_OF_GPU = "{{node_name}} {{cluster}} {{gpu}} {{gpu_name}}"
_QUARTER = Size(6, 4)


def gpu() -> model.Dashboard:
    """The dashboard; empty where there is no GPU."""
    return board(
        "podjoule-gpu",
        "podjoule / GPU",
        "Power of GPUs and MIG instances, by pod, and idle energy of those that are reserved.",
        ("cluster", "node", "namespace"),
        {"Now": _now(), "Power": _power(), "Who": _who()},
    )


def _now() -> list[AnyPanel]:
    return [
        number(
            Shown("GPUs", "GPUs and MIG instances that there are.", COUNT, _QUARTER, 0),
            Query(f"count(group by (cluster, node_name, gpu_uuid) (kepler_node_gpu_info{{{NODE}}}))"),
        ),
        number(
            Shown("Power", "What all the GPUs draw, idle included.", WATTS, _QUARTER, 1),
            Query(_rate(_TOTAL, ())),
        ),
        number(
            Shown("Idle share", "The part of it that they draw with nothing to do.", RATIO, _QUARTER, 1),
            Query(f"{_rate(_IDLE, ())} / {_rate(_TOTAL, ())}"),
        ),
        number(
            Shown(
                "Reserved idle power",
                "Idle power of GPUs that pods hold: what it costs that nobody else can have them.",
                WATTS,
                _QUARTER,
                1,
            ),
            Query(_rate(_RESERVED, ())),
        ),
    ]


def _power() -> list[AnyPanel]:
    return [
        time_series(
            Shown("Power by GPU", "What each GPU or MIG instance draws, idle included.", WATTS),
            Query(_rate(_TOTAL, _GPU), _OF_GPU),
            stacked=True,
        ),
        time_series(
            Shown("GPUs idle and active", "What GPUs draw with nothing to do, and what work adds.", WATTS),
            Query(_rate(_IDLE, MACHINE), "{{node_name}} {{cluster}} idle"),
            Query(_rate(_ACTIVE, MACHINE), "{{node_name}} {{cluster}} active"),
            stacked=True,
        ),
        time_series(
            Shown("GPU power by pod", "Active power of each pod on GPUs.", WATTS),
            Query(_rate(_PODS, _NAMES), _OF_POD),
            stacked=True,
        ),
        time_series(
            Shown(
                "Reserved idle by pod",
                "Idle power of the GPUs that each pod holds, in equal parts where several share one.",
                WATTS,
            ),
            Query(_rate(_RESERVED, _NAMES), _OF_POD),
            stacked=True,
        ),
    ]


def _who() -> list[AnyPanel]:
    return [
        values_table(
            Shown(
                "GPU energy by pod",
                "In this range: what each pod's work on GPUs took, and the idle energy of those that it held."
                " Much of the second beside little of the first is a GPU that another could have.",
                KWH,
                WHOLE,
            ),
            {"cluster": "Cluster", "pod_namespace": "Namespace", "pod_name": "Pod"},
            Column("Active", KWH, _kwh(_PODS), 5),
            Column("Reserved idle", KWH, _kwh(_RESERVED), 5),
        ),
        facts_table(
            Shown("Which GPUs", "Every GPU and MIG instance.", "none", WHOLE),
            {
                "cluster": "Cluster",
                "node_name": "Node",
                "gpu": "GPU",
                "gpu_name": "Name",
                "vendor": "Vendor",
                "gpu_uuid": "UUID",
            },
            f"group by ({', '.join(_GPU)}) (kepler_node_gpu_info{{{NODE}}})",
        ),
    ]


def _rate(series: str, by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)}) (rate({series}[{RATE}]))"


def _kwh(series: str) -> str:
    return f"sum by ({', '.join(_NAMES)}) (increase({series}[{RANGE}])) / 3.6e6"
