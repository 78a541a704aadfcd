"""Which model serves this machine, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from estimator.errors import ModelInvalid
from estimator.machine.description import MachineDescription, Size, ceilings_of, describe
from estimator.machine.identity import CpuIdentity, Recognition, recognise
from estimator.model.curve import CurveZone
from estimator.model.file import load_model, load_shipped
from estimator.model.moved import move_to, moved
from estimator.model.power_model import PowerModel, ZoneModel
from estimator.model.share import ShareZone
from estimator.model.specification_zone import SpecificationZone

BY_SPECIFICATION = "power-from-specification"
# Best first: what sees more of the machine comes before what sees less. Vendor, family and model of the CPU
# that each was trained on, so that no other machine reads the file.
BARE_METAL = {
    "bare-metal-counters": ("GenuineIntel", 6, 0x3F),
    "bare-metal-cpu-time": ("GenuineIntel", 6, 0x3F),
}
_CPU_TIME = frozenset({"cpu_seconds"})
# Of a machine's own idle and full-load power: a meter at the wall, and the weather.
_ANCHOR_FACTOR = 1.05
_KNOWN = {
    "specified": "CPU, chips and memory are known",
    "named": "the CPU's specification is known, the host's size is not",
    "family": "no more than its family is known, with a wide interval",
    "nothing": "the widest interval",
}


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model, None for none, and one line that says which it is and why."""

    model: PowerModel | None
    reason: str


@dataclass(frozen=True, slots=True)
class Anchors:
    """The machine's own power, once measured (a wall meter, its data sheet): watts idle and at full load."""

    idle_watts: float
    full_watts: float
    n_cpu: int


def choose_model(
    option: str,
    identity: CpuIdentity,
    measured: Set[str] = _CPU_TIME,
    machine: MachineDescription | None = None,
    anchors: Anchors | None = None,
) -> ModelChoice:
    """The model for `--model auto|none|FILE` on this CPU.

    auto, the first that fits: on bare metal, the model trained on the very same CPU (vendor, family, model)
    with as many chips and cores, whose features are all in measured; power from specification, with package
    and DRAM beside it where a trained model of this CPU fits a guest. The ends are the machine's own where
    anchors tell them. Features that no model can do without, and are not measured: none fits. machine: by its
    identity alone where None.
    Raises ModelUnavailable if FILE cannot be read and ModelInvalid if it must not be used.
    """
    if option == "none":
        return ModelChoice(None, "no model: --model none")
    recognition, here = recognise(identity), machine or describe(identity, Size(n_cpu=1))
    if option != "auto":
        return _from_file(Path(option), recognition, here)
    if not measured >= _CPU_TIME:
        return ModelChoice(None, "no model fits: all need cpu_seconds, which is not measured")
    trained = next(_of_this_machine(identity, recognition, measured, here), None)
    if trained is not None and anchors is None and not here.is_guest:
        made_on = f"model {trained.name}: made on this CPU, {recognition.name}"
        return ModelChoice(_at_home(trained, here), made_on)
    model = _at_home(load_shipped(BY_SPECIFICATION), here)
    if anchors is not None:
        return _anchored(model, anchors)
    reason = f"model {model.name}: {here.found}; {_KNOWN[here.knowledge]}"
    if trained is not None and here.is_guest:
        model = replace(model, zones={**_shared(trained, here), **model.zones})
        reason += f"; package and DRAM as its share by {trained.name}"
    return ModelChoice(model, reason)


def for_machine(model: PowerModel, machine: MachineDescription) -> PowerModel:
    """The model with its zones of power by specification, and its ceilings, made this machine's; a trained
    one moved from its own machine to this."""
    return moved_to(model, machine)[0]


def moved_to(model: PowerModel, machine: MachineDescription) -> tuple[PowerModel, str]:
    """The same, and what moving changed; empty where the model is at home."""
    made = _at_home(model, machine)
    move = move_to(made, machine, _by_specification)
    return (made, "") if move is None else (moved(made, move), move.why)


def _at_home(model: PowerModel, machine: MachineDescription) -> PowerModel:
    zones: dict[str, ZoneModel] = {
        name: zone.for_machine(machine) if isinstance(zone, SpecificationZone) else zone
        for name, zone in model.zones.items()
    }
    return replace(model, zones=zones, ceilings=ceilings_of(machine))


def _by_specification() -> SpecificationZone:
    zone = load_shipped(BY_SPECIFICATION).zones["platform"]
    if not isinstance(zone, SpecificationZone):
        raise ModelInvalid(f"model {BY_SPECIFICATION}.json: field zones.platform: it is of another kind")
    return zone


def lacking(model: PowerModel, counted: Set[str]) -> frozenset[str]:
    """The features without which a model can tell no zone here; empty where it can tell one."""
    needs = [zone.needs() - counted for zone in model.zones.values()]
    return frozenset[str]() if any(not each for each in needs) else frozenset[str]().union(*needs)


def _from_file(path: Path, recognition: Recognition, machine: MachineDescription) -> ModelChoice:
    model, change = moved_to(load_model(path), machine)
    of, here = model.machine.microarchitecture, recognition.name or "an unknown CPU"
    agreement = "as this machine" if of == here else f"while this machine is {here}"
    made = "any machine" if of is None and not model.trained_cpus else of or "a CPU that it does not name"
    reason = f"model {model.name} from {path}: made for {made}, {agreement}"
    return ModelChoice(model, f"{reason}; {change}" if change else reason)


def _of_this_machine(
    identity: CpuIdentity, recognition: Recognition, measured: Set[str], machine: MachineDescription
) -> Iterator[PowerModel]:
    """The shipped models of the very same CPU, in as large a machine, best first."""
    if not recognition.exact:
        return
    here = (identity.vendor, identity.family, identity.model)
    for name in (name for name, cpu in BARE_METAL.items() if cpu == here):
        model = load_shipped(name)
        needed = frozenset[str]().union(*(zone.needs() for zone in model.zones.values()))
        if needed <= measured and _is_as_large(model, machine):
            yield model


def _is_as_large(trained: PowerModel, machine: MachineDescription) -> bool:
    """Whether a machine, or a guest's host, has the chips and cores that the model's watts are of."""
    of, on = machine.specification, trained.machine
    if on.sockets is None or on.cores is None:
        return True
    has_chips = machine.is_guest or of.chips in (None, on.sockets)
    return has_chips and of.cores_per_chip in (None, on.cores / on.sockets)


def _shared(trained: PowerModel, machine: MachineDescription) -> Mapping[str, ZoneModel]:
    """A guest's part of the host that a model was trained on: package and DRAM, by vCPUs."""
    cores = trained.machine.cores or 1
    threads = cores * (machine.specification.threads_per_core or 2.0)
    return {
        name: ShareZone(zone, threads) for name, zone in trained.zones.items() if name in ("package", "dram")
    }


def _anchored(model: PowerModel, anchors: Anchors) -> ModelChoice:
    """The curve between the machine's own ends."""
    idle, full = anchors.idle_watts / anchors.n_cpu, anchors.full_watts / anchors.n_cpu
    zones: dict[str, ZoneModel] = {
        name: zone.between(idle, max(idle, full), _ANCHOR_FACTOR) if isinstance(zone, CurveZone) else zone
        for name, zone in model.zones.items()
    }
    ends = (
        f"between this machine's own {anchors.idle_watts:g} W idle and {anchors.full_watts:g} W at full load"
    )
    return ModelChoice(replace(model, zones=zones, ceilings={}), f"model {model.name}, {ends}")
