"""A machine as far as it is known: its specification, its own size, and whether it is a part of another."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from estimator.machine.catalogue import Catalogue
from estimator.machine.identity import CpuIdentity, recognise
from estimator.machine.names import family_of_key, key_of
from estimator.machine.specification import Specification, ceilings

# How much is known, most first: CPU, chips and memory; the CPU; the family alone; nothing.
Knowledge = Literal["specified", "named", "family", "nothing"]


# Where nothing is said of a machine that is planned.
_USUAL_CHIPS = 2.0
# m7g.large of AWS; c4a-standard-8 of Google; Standard_D8ps_v6 of Azure; VM.Standard.A1.Flex of Oracle.
_PART = r"[a-z]+\d+\w*(?:-\w+)*\.(?!metal)\w+|[a-z]\d\w?-(?!.*metal)\w+-\w+|standard_\w+|basic_\w+|vm\.\w+"
_TYPICAL = Specification(cores_per_chip=32.0, threads_per_core=2.0, chips=_USUAL_CHIPS)


@dataclass(frozen=True, slots=True)
class MachineDescription:
    """What a model of power by specification is asked about.

    specification: of the machine; of a guest, its host's. n_cpu: its own logical CPUs. candidates: where the
    CPU is not known, the parts of its family. is_guessed: the CPU is another of its family. found: one line
    on where this is from.
    """

    specification: Specification
    n_cpu: int
    is_guest: bool = False
    candidates: tuple[Specification, ...] = ()
    is_guessed: bool = False
    found: str = ""

    @property
    def knowledge(self) -> Knowledge:
        """How much of it is known."""
        of = self.specification
        if of.cores_per_chip is None:
            return "family" if self.candidates else "nothing"
        if of.tdp_watts is None or self.is_guessed:
            return "family" if of.family else "nothing"
        if self.is_guest or of.chips is None or of.memory_gb_per_chip is None:
            return "named"
        return "specified"


def ceilings_of(machine: MachineDescription) -> dict[str, float]:
    """The most that each of its zones can draw, watts; of a guest, its share of a chip of its host's.

    None of a CPU that is guessed: another's TDP is no limit.
    """
    of = machine.specification
    if machine.is_guessed:
        return {}
    if not machine.is_guest:
        return ceilings(of)
    share = machine.n_cpu / of.threads_per_chip if of.threads_per_chip else 1.0
    return {zone: watts * share for zone, watts in ceilings(replace(of, chips=1.0)).items()}


@dataclass(frozen=True, slots=True)
class Size:
    """What a machine says of itself; None where it does not. A guest's own chips and clock say nothing."""

    n_cpu: int
    memory_gb: float | None = None
    chips: int | None = None
    threads_per_core: int | None = None
    mhz: float | None = None
    maker: str = ""


def describe(
    identity: CpuIdentity, size: Size, instance_type: str = "", catalogue: Catalogue | None = None
) -> MachineDescription:
    """The machine by its CPU's name, its instance type, or its family's number, the first that tells.

    An instance type whose CPU is of another family than the number says is not believed: clouds put several
    CPUs behind one type.
    """
    tables = catalogue or Catalogue()
    instance = tables.instance(instance_type) if instance_type else None
    recognition = recognise(identity)
    family = recognition.name if recognition.exact else None
    name, found = identity.model_name, "by the CPU's name"
    told = instance.cpu if instance is not None and family_of_key(key_of(name)) is None else None
    if told and family in (None, family_of_key(key_of(told))):
        name, found = told, f"by the instance type {instance_type}"
    part = tables.specification_of(name) if name else Specification()
    if part.family is None and part.cores_per_chip is None and family:
        part, found = Specification(family=family), f"by its numbers alone: {family}"
    elif part.family is None and part.cores_per_chip is None:
        found = recognition.note or "the CPU is not known"
    elif not part.cpu and part.cores_per_chip:
        found += ", taken for the nearest in the table"
    if identity.is_guest or is_part(instance_type):
        return _guest(part, size, found, tables)
    return _host(part, size, found)


def describe_named(name: str, size: Size, tables: Catalogue, *, is_guest: bool) -> MachineDescription:
    """A machine that is not this one, by its CPU's name; size.n_cpu counts for a guest alone."""
    part = tables.specification_of(name)
    found = "by the CPU's name" if part.cpu else "not in the table of names"
    if part.cores_per_chip and not part.cpu:
        found += ", taken for the nearest of its family"
    if is_guest:
        return _guest(part, size, found, tables)
    if part.cores_per_chip is None:
        part, taken = _usual(part, tables)
        found += taken
    chips = float(size.chips) if size.chips else part.chips
    memory = size.memory_gb / (chips or _USUAL_CHIPS) if size.memory_gb else None
    of = replace(part, chips=chips, memory_gb_per_chip=memory, maker=size.maker)
    n_cpu = round((of.threads_per_chip or 1.0) * (chips or 1.0))
    return MachineDescription(of, n_cpu, is_guessed=not part.cpu, found=found)


def _usual(part: Specification, tables: Catalogue) -> tuple[Specification, str]:
    """What a host of such a CPU most likely has, and how to say so."""
    parts = tables.largest_of(part.family) if part.family else ()
    if not parts:
        return replace(_TYPICAL, family=part.family), ", taken for a usual server's"
    large = max(parts, key=lambda of: of.cores_per_chip or 0.0)
    return replace(large, cpu="", chips=large.chips or _USUAL_CHIPS), ", taken for a large one of its family"


def is_part(instance_type: str) -> bool:
    """Whether an instance type is a part of a machine, of the clouds whose types have a form that says so.

    arm64 has no flag for guests. Not so bare metal, nor what distributions call any node ("k3s").
    """
    return re.match(_PART, instance_type.lower()) is not None


def _guest(part: Specification, size: Size, found: str, tables: Catalogue) -> MachineDescription:
    """A part of a host that is taken to be full of guests like it: as much memory a thread as it has."""
    candidates = () if part.cores_per_chip or part.family is None else tables.largest_of(part.family)
    per_cpu = size.memory_gb / size.n_cpu if size.memory_gb else None
    return MachineDescription(
        _with_memory(part, per_cpu),
        size.n_cpu,
        is_guest=True,
        candidates=tuple(_with_memory(of, per_cpu) for of in candidates),
        is_guessed=bool(part.cores_per_chip) and not part.cpu,
        found=found,
    )


def _with_memory(part: Specification, gb_per_thread: float | None) -> Specification:
    threads = part.threads_per_chip
    return (
        part
        if not gb_per_thread or not threads
        else replace(part, memory_gb_per_chip=gb_per_thread * threads)
    )


def _host(part: Specification, size: Size, found: str) -> MachineDescription:
    """What the machine says of itself counts before the table."""
    chips, threads = size.chips or 1, size.threads_per_core or 1
    own = replace(
        part,
        cores_per_chip=size.n_cpu / chips / threads,
        threads_per_core=max(float(threads), part.threads_per_core or 1.0),
        mhz=size.mhz or part.mhz,
        chips=float(chips),
        memory_gb_per_chip=size.memory_gb / chips if size.memory_gb else None,
        maker=size.maker,
    )
    return MachineDescription(own, size.n_cpu, found=found)
