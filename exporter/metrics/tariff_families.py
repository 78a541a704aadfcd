"""The families about what energy emits and costs; see docs/carbon.md."""

from __future__ import annotations

from exporter.metrics.specs import CONTAINER, POD, VM, Catalogue, Spec

declare = Catalogue()

_CGROUP = ("cgroup", "kind")
_GRAMS = "CO2 equivalent of {} in grams, at the grid's intensity of its time and with the PUE"
_COST = "Cost of {}, at the price of its time and with the PUE"


def _grams(subject: str, of: str, labels: tuple[str, ...] = ()) -> Spec:
    return declare.booked_counter(f"podjoule_{subject}_carbon_grams_total", _GRAMS.format(of), labels)


def _cost(subject: str, of: str, labels: tuple[str, ...] = ()) -> Spec:
    return declare.booked_counter(f"podjoule_{subject}_cost_total", _COST.format(of), (*labels, "currency"))


NODE_GRAMS = _grams("node", "the node's energy, idle and active")
NODE_IDLE_GRAMS = _grams("node_idle", "the node's idle energy, within podjoule_node_carbon_grams_total")
NODE_UNATTRIBUTED_GRAMS = _grams(
    "node_unattributed",
    "active energy that belongs to nobody, within podjoule_node_carbon_grams_total",
    ("reason",),
)
CONTAINER_GRAMS = _grams("container", "a container's active energy", CONTAINER)
POD_GRAMS = _grams("pod", "a pod's active energy", POD)
VM_GRAMS = _grams("vm", "a virtual machine's active energy", VM)
CGROUP_GRAMS = _grams(
    "cgroup", "the active energy of what runs in no container, pod or virtual machine", _CGROUP
)
NODE_COST = _cost("node", "the node's energy, idle and active")
NODE_IDLE_COST = _cost("node_idle", "the node's idle energy, within podjoule_node_cost_total")
NODE_UNATTRIBUTED_COST = _cost(
    "node_unattributed",
    "active energy that belongs to nobody, within podjoule_node_cost_total",
    ("reason",),
)
CONTAINER_COST = _cost("container", "a container's active energy", CONTAINER)
POD_COST = _cost("pod", "a pod's active energy", POD)
VM_COST = _cost("vm", "a virtual machine's active energy", VM)
CGROUP_COST = _cost(
    "cgroup", "the active energy of what runs in no container, pod or virtual machine", _CGROUP
)
COSTS = frozenset(spec.name for spec in declare if spec.labels[-1:] == ("currency",))
ENERGY_ZONE_INFO = declare.gauge(
    "podjoule_energy_zone_info",
    "Always 1: the zones that are the node's energy, each joule in one of them alone",
    ("zone",),
)
GRID_INTENSITY = declare.gauge(
    "podjoule_grid_carbon_intensity_grams_per_kwh",
    "Carbon intensity in force, in grams of CO2 equivalent per kWh;"
    " provider is constant, schedule, table, electricitymaps or watttime",
    ("zone", "provider"),
)
GRID_AGE = declare.gauge(
    "podjoule_grid_carbon_intensity_age_seconds",
    "Age of the provider's last good value in seconds; while there is none, how long it has been asked",
)
GRID_ERRORS = declare.counter(
    "podjoule_grid_errors_total",
    "Requests to the provider that gave no good value; the last one stays in force",
    ("provider", "reason"),
)
GRID_PUE = declare.gauge(
    "podjoule_grid_pue_ratio", "Power usage effectiveness that grams and cost are multiplied by"
)
GRID_PRICE = declare.gauge("podjoule_grid_price_per_kwh", "Price in force of a kWh", ("currency",))
