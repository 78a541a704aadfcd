"""Dashboard *Pod*: one pod or some of them: watts, CPU, counters, joules per CPU-second, carbon."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.boards import board
from deploy.grafana.panels import (
    COUNT,
    GRAMS,
    KWH,
    MONEY,
    SMALL,
    WATTS,
    WHOLE,
    AnyPanel,
    Query,
    Shown,
    Size,
    number,
    time_series,
)
from deploy.grafana.queries import (
    CARBON,
    CLUSTER,
    COST,
    ENERGY,
    NO_PRICE,
    NODE,
    POD,
    POD_IDENTITY,
    RATE,
    Quantity,
    container_rate,
    in_energy_zones,
    labelled,
    of_pods,
    or_no_price,
    pod_total,
    rate_of,
    with_gpus,
)
from deploy.grafana.tables import Column, facts_table, values_table

_CPU = "kepler_container_cpu_seconds_total"
_CYCLES = "kepler_container_cpu_cycles_total"
_INSTRUCTIONS = "kepler_container_cpu_instructions_total"
_MISSES = "kepler_container_cache_miss_total"
_NAMES = (*CLUSTER, "pod_namespace", "pod_name")
_LEGEND = "{{pod_namespace}}/{{pod_name}} {{cluster}}"
_JOULES_PER_CPU_SECOND = "suffix: J/CPU-s"
_NO_PRICE_SAYS = f" Without a configured price the currency reads '{NO_PRICE}' and the cost is 0."


def pod() -> model.Dashboard:
    """The dashboard."""
    return board(
        "podjoule-pod",
        "podjoule / Pod",
        "Power, CPU, counters, joules per CPU-second, emissions and cost of the chosen pods.",
        ("cluster", "node", "namespace", "pod"),
        {
            "In this range": _totals(),
            "Power": _power(),
            "Work": _work(),
            "Emissions and cost": _emissions(),
        },
    )


def _totals() -> list[AnyPanel]:
    watts = rate_of(ENERGY, ENERGY.pod_counter, POD, ())
    cpus = of_pods(container_rate(_CPU), ())
    return [
        number(
            Shown("Power", "Active power of the chosen pods now.", WATTS, SMALL, 2),
            Query(watts),
        ),
        number(
            Shown(
                "Energy",
                "Active energy of the chosen pods in this range, in the zones that count; a pod that has"
                " ended is in it.",
                KWH,
                SMALL,
                5,
            ),
            Query(pod_total(ENERGY, POD, ())),
        ),
        number(
            Shown("Emissions", "Grams of CO2e of that energy, PUE included.", GRAMS, SMALL, 2),
            Query(pod_total(CARBON, POD, ())),
        ),
        number(
            Shown("Cost", "What that energy cost, by currency." + _NO_PRICE_SAYS, MONEY, SMALL, 4),
            Query(or_no_price(pod_total(COST, POD, ()), pod_total(CARBON, POD, ()), ()), "{{currency}}"),
        ),
        number(
            Shown("CPU", "CPUs that the chosen pods keep busy now.", "suffix: CPU", SMALL, 2),
            Query(cpus),
        ),
        number(
            Shown(
                "Energy of a CPU-second",
                "Active energy for each second of CPU time: what a second of this work costs.",
                _JOULES_PER_CPU_SECOND,
                SMALL,
                2,
            ),
            Query(f"{watts} / ({cpus})"),
        ),
    ]


def _power() -> list[AnyPanel]:
    containers = in_energy_zones(
        with_gpus(
            "kepler_container_cpu_joules_total",
            lambda counter: f'rate({counter}{{{NODE}, pod_id!=""}}[{RATE}])',
        )
    )
    names = f"group by ({', '.join(POD_IDENTITY)}) (kepler_pod_cpu_joules_total{{{POD}}})"
    by_zone = with_gpus(ENERGY.pod_counter, lambda counter: f"rate({counter}{{{POD}}}[{RATE}])")
    return [
        time_series(
            Shown("Power by pod", "Active power of each pod in the zones that count.", WATTS),
            Query(rate_of(ENERGY, ENERGY.pod_counter, POD, _NAMES), _LEGEND),
            stacked=True,
        ),
        time_series(
            Shown("Power by container", "Active power of each container of the chosen pods.", WATTS),
            Query(
                f"sum by (cluster, pod_namespace, pod_name, container_name)"
                f" (sum by (cluster, node_name, pod_id, container_name) ({containers})"
                f" * on (cluster, node_name, pod_id) group_left (pod_namespace, pod_name) {names})",
                _LEGEND + " {{container_name}}",
            ),
            stacked=True,
        ),
        time_series(
            Shown(
                "Power by zone",
                "Active power of the chosen pods in every zone. Zones overlap, so they are not stacked.",
                WATTS,
            ),
            Query(
                f"sum by (cluster, zone) ({by_zone})",
                "{{zone}} {{cluster}}",
            ),
        ),
        time_series(
            Shown("CPU by pod", "CPUs that each pod keeps busy.", "suffix: CPU"),
            Query(of_pods(container_rate(_CPU), _NAMES), _LEGEND),
            stacked=True,
        ),
    ]


def _work() -> list[AnyPanel]:
    by_pod = rate_of(ENERGY, ENERGY.pod_counter, POD, _NAMES)
    return [
        time_series(
            Shown(
                "Joules per CPU-second",
                "Active energy of each pod for each second of its CPU time. It differs between pods where a"
                " PMU counts: heavy instructions and cache misses cost more.",
                _JOULES_PER_CPU_SECOND,
            ),
            Query(f"{by_pod} / ({of_pods(container_rate(_CPU), _NAMES)} > 0)", _LEGEND),
        ),
        time_series(
            Shown(
                "Counters",
                "CPU seconds, and where there is a PMU cycles, instructions and cache misses of the chosen"
                " pods a second. Virtual machines mostly have none: then CPU time is all there is."
                " Logarithmic.",
                COUNT,
            ),
            Query(counters(), "{{counter}}"),
            logarithmic=True,
        ),
        values_table(
            Shown(
                "Efficiency",
                "What the work of each pod is like now: joules per CPU-second; and where there is a PMU"
                " nanojoules per instruction, instructions per cycle, and cache misses per 1,000"
                " instructions.",
                COUNT,
                Size(12, 9),
            ),
            {"cluster": "Cluster", "pod_namespace": "Namespace", "pod_name": "Pod", "measure": "Measure"},
            Column("Value", COUNT, efficiency(), 3),
        ),
        facts_table(
            Shown(
                "Pods",
                "What Kubernetes says of the chosen pods, those that ended in the last minutes included."
                " Where Kubernetes is not asked, the pods by their UIDs.",
                "none",
                Size(12, 9),
            ),
            {
                "cluster": "Cluster",
                "node_name": "Node",
                "pod_namespace": "Namespace",
                "pod_name": "Pod",
                "workload_kind": "Kind",
                "workload_name": "Workload",
                "qos": "QoS",
                "phase": "Phase",
                "pod_id": "UID",
            },
            _facts(),
        ),
    ]


def _emissions() -> list[AnyPanel]:
    return [
        time_series(
            Shown("Emissions by pod", "Grams of CO2e an hour at the intensity of the moment.", "suffix: g/h"),
            Query(_hourly(CARBON), _LEGEND),
            stacked=True,
        ),
        time_series(
            Shown(
                "Cost by pod",
                "Money an hour at the price of the moment." + _NO_PRICE_SAYS,
                "suffix: /h",
            ),
            Query(or_no_price(_hourly(COST), _hourly(CARBON)), _LEGEND + " {{currency}}"),
            stacked=True,
        ),
        values_table(
            Shown(
                "By pod",
                "Active energy in this range, what it emitted and what it cost." + _NO_PRICE_SAYS,
                KWH,
                WHOLE,
            ),
            {"cluster": "Cluster", "pod_namespace": "Namespace", "pod_name": "Pod", "currency": "Currency"},
            Column("Energy", KWH, pod_total(ENERGY, POD, _NAMES), 5),
            Column("Emissions", GRAMS, pod_total(CARBON, POD, _NAMES), 2),
            Column(
                "Cost",
                MONEY,
                or_no_price(pod_total(COST, POD, _NAMES), pod_total(CARBON, POD, _NAMES)),
                4,
            ),
        ),
    ]


def counters() -> str:
    """What the chosen pods do a second, by the label counter; those that are measured alone."""
    named = {"CPU seconds": _CPU, "cycles": _CYCLES, "instructions": _INSTRUCTIONS, "cache misses": _MISSES}
    return " or ".join(
        labelled(of_pods(container_rate(family), ()), {"counter": name}) for name, family in named.items()
    )


def efficiency() -> str:
    """What the work of each pod is like, by the label measure; the measures alone that can be had."""
    watts = rate_of(ENERGY, ENERGY.pod_counter, POD, _NAMES)
    cpu, cycles, instructions, misses = (
        f"({of_pods(container_rate(family), _NAMES)} > 0)"
        for family in (_CPU, _CYCLES, _INSTRUCTIONS, _MISSES)
    )
    measures = {
        "joules per CPU-second": f"{watts} / {cpu}",
        "nanojoules per instruction": f"1e9 * {watts} / {instructions}",
        "instructions per cycle": f"{instructions} / {cycles}",
        "cache misses per 1,000 instructions": f"1000 * {misses} / {instructions}",
    }
    return " or ".join(labelled(vector, {"measure": name}) for name, vector in measures.items())


def _facts() -> str:
    pods = f"group by ({', '.join(POD_IDENTITY)}) (kepler_pod_cpu_joules_total{{{POD}}})"
    told = (
        f"group by ({', '.join(POD_IDENTITY)}, workload_kind, workload_name, qos, phase)"
        f" (podjoule_pod_info{{{POD}}})"
    )
    return f"{told} or ({pods} unless on (cluster, node_name, pod_id) podjoule_pod_info)"


def _hourly(quantity: Quantity) -> str:
    return f"3600 * {rate_of(quantity, quantity.pod_counter, POD, _NAMES)}"
