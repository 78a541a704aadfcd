"""Which model serves this machine, and why."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from pathlib import Path

from estimator.cpu_identity import CpuIdentity, Recognition, recognise
from estimator.model_file import list_models, load_model, load_shipped
from estimator.power_model import CurveZone, PowerModel
from estimator.specification import Specification

GENERIC = "power-curve-generic"
# Best first: what sees more of the machine comes before what sees less.
BARE_METAL = ("bare-metal-counters", "bare-metal-cpu-time")
_CPU_TIME = frozenset({"cpu_seconds"})
# Of a machine's own idle and full-load power: a meter at the wall, and the weather.
_ANCHOR_FACTOR = 1.05


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
    specification: Specification | None = None,
    anchors: Anchors | None = None,
) -> ModelChoice:
    """The model for `--model auto|none|FILE` on this CPU.

    auto, the first that fits: on bare metal, the model trained on the very same CPU (vendor, family, model)
    whose features are all in measured; the power curve of the microarchitecture; the generic one. The curves'
    ends are the machine's own where anchors tell them, else those of its specification on bare metal (per
    core and clock; a guest does not know its host's), else the shipped ones with their wide interval. A CPU
    that is only known to be "this or later" gets the generic curve: a newer one draws otherwise. Features
    that no model can do without, and are not measured: none fits.
    Raises ModelUnavailable if FILE cannot be read and ModelInvalid if it must not be used.
    """
    if option == "none":
        return ModelChoice(None, "no model: --model none")
    recognition = recognise(identity)
    if option != "auto":
        return _from_file(Path(option), recognition)
    if not measured >= _CPU_TIME:
        return ModelChoice(None, "no model fits: all need cpu_seconds, which is not measured")
    trained = next(_of_this_cpu(identity, recognition, measured), None) if anchors is None else None
    if trained is not None:
        return ModelChoice(trained, f"model {trained.name}: made on this CPU, {recognition.name}")
    choice = _curve(recognition)
    if anchors is not None:
        return _anchored(choice, anchors)
    return choice if identity.is_guest or specification is None else _specified(choice, specification)


def _from_file(path: Path, recognition: Recognition) -> ModelChoice:
    model = load_model(path)
    of, here = model.machine.microarchitecture or "any machine", recognition.name or "an unknown CPU"
    agreement = "as this machine" if of == here else f"while this machine is {here}"
    return ModelChoice(model, f"model {model.name} from {path}: made for {of}, {agreement}")


def _of_this_cpu(identity: CpuIdentity, recognition: Recognition, measured: Set[str]) -> Iterator[PowerModel]:
    """The shipped models of the very same CPU, best first; none for a guest, which is a part of a machine."""
    if identity.is_guest or not recognition.exact:
        return
    here = (identity.vendor, identity.family, identity.model)
    for name in BARE_METAL:
        model = load_shipped(name)
        machine = model.machine
        needs = frozenset[str]().union(*(zone.needs() for zone in model.zones.values()))
        if (machine.vendor, machine.family, machine.model) == here and needs <= measured:
            yield model


def _curve(recognition: Recognition) -> ModelChoice:
    model = shipped_for(recognition.name) if recognition.exact else None
    if model is not None:
        return ModelChoice(model, f"model {model.name}: this CPU is {recognition.name}")
    return ModelChoice(
        load_shipped(GENERIC), f"model {GENERIC}, with a wide interval: {_why_generic(recognition)}"
    )


def _specified(choice: ModelChoice, specification: Specification) -> ModelChoice:
    """The curve between the ends that clock, threads and chips make likely."""
    model = choice.model
    if model is None or not any(
        isinstance(zone, CurveZone) and zone.scaling for zone in model.zones.values()
    ):
        return choice
    zones = {
        name: zone.for_machine(specification) if isinstance(zone, CurveZone) else zone
        for name, zone in model.zones.items()
    }
    size = f"{specification.chips:g} x {specification.threads_per_chip:g} threads"
    return ModelChoice(
        replace(model, zones=zones), f"{choice.reason}; scaled to {size} at {specification.mhz:g} MHz"
    )


def _anchored(choice: ModelChoice, anchors: Anchors) -> ModelChoice:
    """The curve between the machine's own ends."""
    if choice.model is None:
        return choice
    idle, full = anchors.idle_watts / anchors.n_cpu, anchors.full_watts / anchors.n_cpu
    zones = {
        name: zone.between(idle, max(idle, full), _ANCHOR_FACTOR) if isinstance(zone, CurveZone) else zone
        for name, zone in choice.model.zones.items()
    }
    ends = (
        f"between this machine's own {anchors.idle_watts:g} W idle and {anchors.full_watts:g} W at full load"
    )
    return ModelChoice(replace(choice.model, zones=zones), f"model {choice.model.name}, {ends}")


def _why_generic(recognition: Recognition) -> str:
    if recognition.note:
        return recognition.note
    if recognition.name is None:
        return "this CPU's microarchitecture is not known"
    return f"no model of {recognition.name} is shipped"


def slug(microarchitecture: str) -> str:
    """How a shipped model's name says its microarchitecture: "Cascade Lake" -> "cascade-lake"."""
    return microarchitecture.lower().replace(" ", "-").replace("+", "-plus")


def shipped_for(microarchitecture: str | None) -> PowerModel | None:
    """The shipped power curve of a microarchitecture, or None."""
    name = f"power-curve-{slug(microarchitecture)}" if microarchitecture else ""
    return load_shipped(name) if name in list_models() else None
