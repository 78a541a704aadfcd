"""Which model serves this machine, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from estimator.cpu_identity import CpuIdentity, Recognition, recognise
from estimator.model_file import list_models, load_model, load_shipped
from estimator.power_model import PowerModel

GENERIC = "power-curve-generic"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model, None for none, and one line that says which it is and why."""

    model: PowerModel | None
    reason: str


def choose_model(option: str, identity: CpuIdentity) -> ModelChoice:
    """The model for `--model auto|none|FILE` on this CPU.

    auto: the shipped model of the same microarchitecture, else the generic one with its wide interval. A
    CPU that is only known to be "this or later" gets the generic one too: a newer one draws otherwise.
    Raises ModelUnavailable if FILE cannot be read and ModelInvalid if it must not be used.
    """
    if option == "none":
        return ModelChoice(None, "no model: --model none")
    if option != "auto":
        return _from_file(Path(option), recognise(identity))
    return _automatic(recognise(identity))


def _from_file(path: Path, recognition: Recognition) -> ModelChoice:
    model = load_model(path)
    of, here = model.machine.microarchitecture or "any machine", recognition.name or "an unknown CPU"
    agreement = "as this machine" if of == here else f"while this machine is {here}"
    return ModelChoice(model, f"model {model.name} from {path}: made for {of}, {agreement}")


def _automatic(recognition: Recognition) -> ModelChoice:
    model = shipped_for(recognition.name) if recognition.exact else None
    if model is not None:
        return ModelChoice(model, f"model {model.name}: this CPU is {recognition.name}")
    return ModelChoice(
        load_shipped(GENERIC), f"model {GENERIC}, with a wide interval: {_why_generic(recognition)}"
    )


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
