"""PromQL of the dashboards: how selectors, zones, totals over a time and rates are written, once.

Every query works on what exporters export, without the recording rules. `$cluster`, `$node`, `$namespace` and
`$pod` are regular expressions that Grafana fills in; `$__range` and `$__rate_interval` are durations.

Two clusters may have nodes of one name: a node is a node of its cluster. Where nobody gives series the label
cluster it is empty on both sides of each join, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

CLUSTER = ("cluster",)
MACHINE = (*CLUSTER, "node_name")

NODE = 'cluster=~"$cluster", node_name=~"$node"'
NAMESPACE = f'{NODE}, pod_namespace=~"$namespace"'
POD = f'{NAMESPACE}, pod_name=~"$pod"'

RANGE = "$__range"
RATE = "$__rate_interval"
NO_PRICE = "no price configured"

# What makes a pod's or a node's counter the same one, whatever target labels its exporter has had.
POD_IDENTITY = (*MACHINE, "pod_id", "pod_namespace", "pod_name")


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is shown of nodes and pods alike.

    extra: the labels that tell kinds of it apart. is_zoned: whether the counters come by zone, of which those
    count whose sum is the node's energy. divisor: to kWh, for a total over a time; "" for none.
    """

    node_counter: str
    pod_counter: str
    extra: tuple[str, ...] = ()
    is_zoned: bool = False
    divisor: str = ""


ENERGY = Quantity(
    "kepler_node_cpu_joules_total", "kepler_pod_cpu_joules_total", is_zoned=True, divisor=" / 3.6e6"
)
CARBON = Quantity("podjoule_node_carbon_grams_total", "podjoule_pod_carbon_grams_total")
COST = Quantity("podjoule_node_cost_total", "podjoule_pod_cost_total", ("currency",))


# Families of GPUs have names of their own, as Kepler has them: sums over zones take them in as the zone gpu.
_OF_GPUS = {
    **{
        f"kepler_{of}_joules_total": f"kepler_{of.replace('cpu', 'gpu')}_joules_total"
        for of in ("node_cpu", "node_cpu_active", "node_cpu_idle", "pod_cpu", "container_cpu")
    },
    "kepler_vm_cpu_joules_total": "podjoule_vm_gpu_joules_total",
    "podjoule_cgroup_cpu_joules_total": "podjoule_cgroup_gpu_joules_total",
}


def with_gpus(counter: str, vector_of: Callable[[str], str]) -> str:
    """A vector of a counter by zone, with that of its twin of GPUs, where it has one, as one zone more."""
    if counter not in _OF_GPUS:
        return vector_of(counter)
    return f"({vector_of(counter)} or {labelled(vector_of(_OF_GPUS[counter]), {'zone': 'gpu'})})"


def energy_zones(window: str = "") -> str:
    """1 for each zone of each node that counts; over a window, also for nodes that have gone since."""
    info = f"last_over_time(podjoule_energy_zone_info[{window}])" if window else "podjoule_energy_zone_info"
    return f"max by (cluster, node_name, zone) ({info})"


def in_energy_zones(vector: str, window: str = "") -> str:
    """The series of the zones that count: their sum is the node's energy, with nothing in it twice."""
    return f"{vector} * on (cluster, node_name, zone) group_left () {energy_zones(window)}"


def rate_of(quantity: Quantity, counter: str, selector: str, by: Sequence[str]) -> str:
    """What a counter grows by each second, by some labels: watts where it holds joules."""
    rate = with_gpus(counter, lambda each: f"rate({each}{{{selector}}}[{RATE}])")
    return f"sum by ({_list(by, quantity.extra)}) ({_zoned(quantity, rate)})"


def node_total(quantity: Quantity, by: Sequence[str] = (), window: str = RANGE) -> str:
    """What the nodes used within the window, in kWh, grams or money."""
    increase = with_gpus(quantity.node_counter, lambda each: f"increase({each}{{{NODE}}}[{window}])")
    grown = _zoned(quantity, increase, window)
    return f"sum by ({_list(by, quantity.extra)}) ({grown}){quantity.divisor}"


def pod_total(quantity: Quantity, selector: str, by: Sequence[str], window: str = RANGE) -> str:
    """What pods used within the window, in kWh, grams or money."""
    total = used(quantity, quantity.pod_counter, selector, POD_IDENTITY, window)
    return f"sum by ({_list(by, quantity.extra)}) ({total}){quantity.divisor}"


def used(
    quantity: Quantity, counter: str, selector: str, identity: Sequence[str], window: str = RANGE
) -> str:
    """What each workload used within the window, by its identity, from its first joule on.

    increase() leaves out what a counter held when it was first seen, which is all of a short job. A workload
    that was not there when the window began, while its exporter was, counts with all that its counter holds.
    The greater of the two never counts anything twice, through restarts of the exporter too. The recording
    rule pod:podjoule_active_kwh:increase1h is the same for pods and one hour.
    """
    labels = _list((*identity, "zone") if quantity.is_zoned else identity, quantity.extra)

    def from_the_first(counter: str) -> str:
        series = f"{counter}{{{selector}}}"
        grown = f"sum by ({labels}) (increase({series}[{window}]))"
        begun = (
            f"max by ({labels}) (last_over_time({series}[{window}]))"
            f" unless on ({labels}) last_over_time({series}[5m] offset {window})"
            f" and on (cluster, node_name) podjoule_ticks_total offset {window}"
        )
        return f"(({begun}) > {grown} or {grown})"

    return _zoned(quantity, with_gpus(counter, from_the_first), window)


def beside_pods(quantity: Quantity, labels: dict[str, str], window: str = RANGE) -> str:
    """What the nodes of a cluster used within the window beyond all their pods, under labels of its own.

    Idle is in it. With it a column by namespace, workload or pod adds up to the node.
    """
    nodes = node_total(quantity, CLUSTER, window)
    pods = pod_total(quantity, NODE, CLUSTER, window)
    rest = f"clamp_min({nodes} - ({pods} or 0 * ({nodes})), 0)"
    return labelled(rest, labels)


def labelled(vector: str, labels: dict[str, str]) -> str:
    """The vector with fixed labels."""
    for name, value in labels.items():
        vector = f'label_replace({vector}, "{name}", "{value}", "", "")'
    return vector


def with_workload(pods: str, by: Sequence[str]) -> str:
    """A vector by POD_IDENTITY summed by workload too; kind "unknown" where nobody told.

    Whatever podjoule_pod_info said in the range, a pod has one workload: what it says now goes before
    (2 to 1).
    """
    labels = "cluster, node_name, pod_id, workload_kind, workload_name"
    info = (
        f"topk by (cluster, node_name, pod_id) (1, 2 * group by ({labels}) (podjoule_pod_info{{{NODE}}})"
        f" or group by ({labels}) (last_over_time(podjoule_pod_info{{{NODE}}}[{RANGE}]))) > bool 0"
    )
    told = f"({pods}) * on (cluster, node_name, pod_id) group_left (workload_kind, workload_name) ({info})"
    untold = labelled(
        f"(({pods}) unless on (cluster, node_name, pod_id) ({info}))", {"workload_kind": "unknown"}
    )
    untold = f'label_replace({untold}, "workload_name", "$1", "pod_name", "(.*)")'
    return f"sum by ({_list(by, ('workload_kind', 'workload_name'))}) ({told} or {untold})"


def or_no_price(cost: str, grams: str, by: Sequence[str] = CLUSTER) -> str:
    """The cost; where no price is configured, 0 for all that has emissions, and the currency says why.

    by: () where cost and grams are of all clusters together.
    """
    unpriced = f"0 * ({grams}) unless on ({_list(by)}) podjoule_node_cost_total{{{NODE}}}"
    return f"{cost} or {labelled(f'({unpriced})', {'currency': NO_PRICE})}"


def of_pods(containers: str, by: Sequence[str]) -> str:
    """A vector of containers by node and pod_id, under the names of the pods that are chosen."""
    names = f"group by ({_list(POD_IDENTITY)}) (kepler_pod_cpu_joules_total{{{POD}}})"
    joined = f"({containers}) * on (cluster, node_name, pod_id) group_left (pod_namespace, pod_name) {names}"
    return f"sum by ({_list(by)}) ({joined})"


def container_rate(counter: str) -> str:
    """What a counter of containers grows by each second, by pod."""
    return f'sum by (cluster, node_name, pod_id) (rate({counter}{{{NODE}, pod_id!=""}}[{RATE}]))'


def _zoned(quantity: Quantity, vector: str, window: str = "") -> str:
    return in_energy_zones(vector, window) if quantity.is_zoned else vector


def _list(labels: Sequence[str], more: Sequence[str] = ()) -> str:
    return ", ".join((*labels, *more))
