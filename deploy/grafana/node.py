"""Dashboard *Node*: where the energy comes from, how it divides, how sure it is, what podjoule costs."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.boards import board
from deploy.grafana.panels import (
    BYTES,
    COUNT,
    RATIO,
    SECONDS,
    THIRD,
    WATTS,
    AnyPanel,
    Query,
    Shown,
    Size,
    number,
    states,
    time_series,
)
from deploy.grafana.queries import ENERGY, MACHINE, NODE, RATE, labelled, rate_of
from deploy.grafana.tables import Column, facts_table, values_table

_IDLE, _ACTIVE = "kepler_node_cpu_idle_joules_total", "kepler_node_cpu_active_joules_total"
_QUARTER = Size(6, 4)


def node() -> model.Dashboard:
    """The dashboard."""
    return board(
        "podjoule-node",
        "podjoule / Node",
        "Zones and sockets, idle against active, the model's error and interval, conservation, and what"
        " podjoule itself costs.",
        ("cluster", "node"),
        {
            "Now": _now(),
            "Power": _power(),
            "Source and certainty": _certainty(),
            "podjoule itself": _itself(),
        },
    )


def _now() -> list[AnyPanel]:
    total = rate_of(ENERGY, ENERGY.node_counter, NODE, MACHINE)
    idle = rate_of(ENERGY, _IDLE, NODE, MACHINE)
    return [
        number(
            Shown(
                "Power",
                "What each node draws, idle included: the zones that count (podjoule_energy_zone_info).",
                WATTS,
                _QUARTER,
                1,
            ),
            Query(total, "{{node_name}} {{cluster}}"),
        ),
        number(
            Shown("Idle share", "The part of it that is drawn when nothing runs.", RATIO, _QUARTER, 1),
            Query(f"{idle} / {total}", "{{node_name}} {{cluster}}"),
        ),
        number(
            Shown("CPU in use", "Share of CPU time of the last tick that was not idle.", RATIO, _QUARTER, 1),
            Query(
                f"max by (cluster, node_name) (kepler_node_cpu_usage_ratio{{{NODE}}})",
                "{{node_name}} {{cluster}}",
            ),
        ),
        number(
            Shown(
                "Conservation error",
                "How far idle, attributed and unattributed energy of the last tick are from the node's,"
                " relative; the worst zone. Rounding stays below 1e-9; more than 1e-6 is a defect"
                " (alert PodjouleConservationBroken).",
                COUNT,
                _QUARTER,
            ),
            Query(
                f"max by (cluster, node_name) (podjoule_conservation_error_ratio{{{NODE}}})",
                "{{node_name}} {{cluster}}",
            ),
        ),
    ]


def _power() -> list[AnyPanel]:
    def by_place(labels: str) -> str:
        return f"sum by ({labels}) (rate(kepler_node_cpu_joules_total{{{NODE}}}[{RATE}]))"

    return [
        time_series(
            Shown(
                "Idle and active",
                "What each node draws when nothing runs, and what work adds. Only the zones that count.",
                WATTS,
            ),
            Query(rate_of(ENERGY, _IDLE, NODE, MACHINE), "{{node_name}} {{cluster}} idle"),
            Query(rate_of(ENERGY, _ACTIVE, NODE, MACHINE), "{{node_name}} {{cluster}} active"),
            stacked=True,
        ),
        time_series(
            Shown(
                "Zones",
                "Power of every zone that is measured or estimated. Zones overlap (core and uncore lie in"
                " package, psys holds them all), so they are not stacked.",
                WATTS,
            ),
            Query(by_place("cluster, node_name, zone"), "{{node_name}} {{cluster}} {{zone}}"),
        ),
        time_series(
            Shown(
                "Sockets",
                "Power of every counter by itself: one package, core or dram for each socket; or one for the"
                " whole node where a model estimates it.",
                WATTS,
            ),
            Query(by_place("cluster, node_name, zone, path"), "{{node_name}} {{cluster}} {{zone}} {{path}}"),
        ),
        values_table(
            Shown("CPUs by socket", "What sits in each socket, as /proc/cpuinfo says.", COUNT),
            {"cluster": "Cluster", "node_name": "Node", "physical_id": "Socket", "model_name": "Model"},
            Column(
                "CPUs",
                COUNT,
                "count by (cluster, node_name, physical_id, model_name) ("
                "max by (cluster, node_name, physical_id, model_name, processor) ("
                f"kepler_node_cpu_info{{{NODE}}}))",
            ),
        ),
    ]


def _certainty() -> list[AnyPanel]:
    watts = f"max by (cluster, node_name, zone, path) (kepler_node_cpu_watts{{{NODE}}})"
    low, high = (
        f"max by (cluster, node_name, zone, path) (podjoule_model_{bound}_watts{{{NODE}}})"
        for bound in ("low", "high")
    )
    error = f"max by (cluster, node_name, zone, path) (podjoule_model_error_watts{{{NODE}}})"
    return [
        facts_table(
            Shown(
                "Where the energy comes from",
                "The meter of each zone (rapl, ...), or the model that estimates it; sha256 names the model"
                " file exactly.",
                "none",
                Size(12, 6),
            ),
            {
                "cluster": "Cluster",
                "node_name": "Node",
                "zone": "Zone",
                "source": "Source",
                "model": "Model",
                "sha256": "sha256",
            },
            "group by (cluster, node_name, zone, source, model, sha256)"
            f" (podjoule_power_source_info{{{NODE}}})",
        ),
        facts_table(
            Shown(
                "How it is divided",
                "What is counted for each workload (cpu_ns alone where there is no PMU, as in most virtual"
                " machines), and how idle energy is told apart: idle_watts where it is known, else"
                " usage_ratio.",
                "none",
                Size(12, 6),
            ),
            {
                "cluster": "Cluster",
                "node_name": "Node",
                "source": "Counter",
                "available": "Counted",
                "zone": "Zone",
                "method": "Idle by",
            },
            f"group by (cluster, node_name, zone, method) (podjoule_idle_method_info{{{NODE}}})"
            " * on (cluster, node_name) group_left (source, available)"
            f" group by (cluster, node_name, source, available) (podjoule_usage_source_info{{{NODE}}})",
        ),
        time_series(
            Shown(
                "Power and its interval",
                "Power of the last tick with the bounds of the model's prediction interval. A meter measures:"
                " there both bounds are the power itself.",
                WATTS,
                THIRD,
            ),
            Query(watts, "{{node_name}} {{cluster}} {{zone}} {{path}}"),
            Query(f"{low} or {watts}", "{{node_name}} {{cluster}} {{zone}} {{path}} low"),
            Query(f"{high} or {watts}", "{{node_name}} {{cluster}} {{zone}} {{path}} high"),
        ),
        time_series(
            Shown(
                "Model error",
                "With a meter: the rolling mean absolute error, one tick ahead, of the calibration against"
                " it. Without: half of the model's prediction interval. In the first minutes with a meter,"
                " while nothing is learned yet: all of the power.",
                WATTS,
                THIRD,
            ),
            Query(
                f"{error} or ({high} - {low}) / 2 or {watts}", "{{node_name}} {{cluster}} {{zone}} {{path}}"
            ),
        ),
        time_series(
            Shown(
                "Energy charged to nobody",
                "Active power that no workload has: nothing ran (no_usage), or the kernel's map had no room"
                " (map_full). 0 where all is charged.",
                WATTS,
                THIRD,
            ),
            Query(
                "sum by (cluster, node_name, zone, reason)"
                f" (rate(podjoule_node_unattributed_joules_total{{{NODE}}}[{RATE}]))"
                f" or {labelled(_zero_by_zone(), {'reason': 'none'})}",
                "{{node_name}} {{cluster}} {{zone}} {{reason}}",
            ),
        ),
    ]


def _zero_by_zone() -> str:
    """0 for each zone that has nothing unattributed."""
    unattributed = f"podjoule_node_unattributed_joules_total{{{NODE}}}"
    nodes = f"group by (cluster, node_name, zone) (kepler_node_cpu_joules_total{{{NODE}}})"
    return f"(0 * {nodes} unless on (cluster, node_name, zone) {unattributed})"


def _itself() -> list[AnyPanel]:
    # process_* have no node's name: the scrape tells which exporter they are of.
    of_node = (
        " * on (cluster, job, instance) group_left (node_name)"
        f" group by (cluster, job, instance, node_name) (podjoule_build_info{{{NODE}}})"
    )
    kubernetes = labelled(
        f"min by (cluster, node_name) (podjoule_pod_directory_up{{{NODE}}})", {"component": "Kubernetes"}
    )
    return [
        states(
            Shown(
                "Health",
                "Whether each part of the tick worked the last time, and, where podjoule asks Kubernetes for"
                " names, whether that answers.",
                "none",
            ),
            Query(
                f"min by (cluster, node_name, component) (podjoule_component_up{{{NODE}}}) or {kubernetes}",
                "{{node_name}} {{cluster}} {{component}}",
            ),
            {"1": ("works", "green"), "0": ("fails", "red")},
        ),
        time_series(
            Shown(
                "Errors",
                "Errors a minute: of the parts of the tick; of meter and model (read, gap, vanished,"
                " outside_envelope, missing_feature); between podjoule and Kubernetes.",
                COUNT,
            ),
            Query(_errors(), "{{node_name}} {{cluster}} {{what}}"),
        ),
        time_series(
            Shown("Tick", "Duration of the last tick, and of each of its parts.", SECONDS),
            Query(
                f"max by (cluster, node_name) (podjoule_tick_duration_seconds{{{NODE}}})",
                "{{node_name}} {{cluster}} all",
            ),
            Query(
                f"max by (cluster, node_name, component) (podjoule_component_duration_seconds{{{NODE}}})",
                "{{node_name}} {{cluster}} {{component}}",
            ),
        ),
        time_series(
            Shown("CPU of podjoule", "CPU time of the exporter: 0.01 is one hundredth of a CPU.", RATIO),
            Query(f"rate(process_cpu_seconds_total[{RATE}]){of_node}", "{{node_name}} {{cluster}}"),
        ),
        time_series(
            Shown("Memory of podjoule", "Resident memory of the exporter.", BYTES),
            Query(f"process_resident_memory_bytes{of_node}", "{{node_name}} {{cluster}}"),
        ),
        time_series(
            Shown(
                "The kernel's map",
                "Cgroups, or processes, that the kernel's map holds, and CPU time (milliseconds a second)"
                " that it had no room for, which should be 0.",
                COUNT,
            ),
            Query(
                f"max by (cluster, node_name) (podjoule_bpf_map_entries{{{NODE}}})",
                "{{node_name}} {{cluster}} entries",
            ),
            Query(
                "1000 * sum by (cluster, node_name)"
                f" (rate(podjoule_bpf_dropped_seconds_total{{{NODE}}}[{RATE}]))",
                "{{node_name}} {{cluster}} dropped ms/s",
            ),
        ),
    ]


def _errors() -> str:
    """Errors a minute by node and the label what."""
    families = {
        "podjoule_component_errors_total": "component",
        "podjoule_power_errors_total": "kind",
        "podjoule_pod_directory_errors_total": "reason",
    }
    return " or ".join(
        f"60 * sum by (cluster, node_name, what) (label_replace(rate({family}{{{NODE}}}[{RATE}]),"
        f' "what", "{family.removeprefix("podjoule_").removesuffix("_errors_total")} $1", "{label}", "(.*)"))'
        for family, label in families.items()
    )
