"""Who uses energy: pods, and what runs beside them, so that together they are the node."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.grafana.queries import (
    CLUSTER,
    ENERGY,
    MACHINE,
    NODE,
    POD_IDENTITY,
    RANGE,
    in_energy_zones,
    labelled,
    used,
    with_gpus,
)


@dataclass(frozen=True, slots=True)
class Consumers:
    """One kind of them. identity: the labels that make one the same for life; name: those that are read."""

    title: str
    counter: str
    identity: tuple[str, ...]
    name: tuple[str, ...]
    selector: str = NODE


PODS = Consumers("pods", "kepler_pod_cpu_joules_total", POD_IDENTITY, ("pod_namespace", "pod_name"))
CONSUMERS = (
    PODS,
    Consumers(
        "other containers",
        "kepler_container_cpu_joules_total",
        (*MACHINE, "container_id", "container_name"),
        ("container_name",),
        f'{NODE}, pod_id=""',
    ),
    Consumers("virtual machines", "kepler_vm_cpu_joules_total", (*MACHINE, "vm_id", "vm_name"), ("vm_name",)),
    Consumers(
        "system and users", "podjoule_cgroup_cpu_joules_total", (*MACHINE, "cgroup", "kind"), ("cgroup",)
    ),
)

# Of the node, and of nobody.
_OF_NOBODY = {
    "idle": "kepler_node_cpu_idle_joules_total",
    "charged to nobody": "podjoule_node_unattributed_joules_total",
}


def parts_kwh() -> str:
    """The nodes' energy within the range in kWh, by the label part."""
    vectors = [labelled(f"sum ({_used(kind)}) / 3.6e6", {"part": kind.title}) for kind in CONSUMERS]
    for title, counter in _OF_NOBODY.items():
        increase = with_gpus(counter, lambda each: f"increase({each}{{{NODE}}}[{RANGE}])")
        grown = in_energy_zones(increase, RANGE)
        vectors.append(labelled(f"sum ({grown}) / 3.6e6", {"part": title}))
    return " or ".join(vectors)


def greatest_kwh(count: int) -> str:
    """Those that used the most within the range in kWh, of all kinds, by the label consumer and
    cluster."""
    vectors = []
    for kind in CONSUMERS:
        names = ", ".join(f'"{label}"' for label in kind.name)
        total = f"sum by ({', '.join((*CLUSTER, *kind.name))}) ({_used(kind)}) / 3.6e6"
        vectors.append(f'sum by (cluster, consumer) (label_join({total}, "consumer", "/", {names}))')
    return f"topk({count}, {' or '.join(vectors)})"


def _used(kind: Consumers) -> str:
    return used(ENERGY, kind.counter, kind.selector, kind.identity)
