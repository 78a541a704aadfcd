"""Which CPU this is: vendor, family and model as the kernel gives them, and the microarchitecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from estimator.machine.cpuinfo import Block, read_blocks
from estimator.machine.microarchitectures import ARM, EVIDENCE, IMPLEMENTERS, Evidence, amd_name, intel_name


@dataclass(frozen=True, slots=True)
class CpuIdentity:
    """The CPU as it calls itself; a hypervisor may have had a hand in it.

    vendor: "GenuineIntel", "AuthenticAMD", "ARM", …; empty where unknown. family, model, stepping: as in
    CPUID; on arm64 the architecture, the part and the revision. model_name: empty on most arm64 kernels.
    """

    vendor: str = ""
    family: int | None = None
    model: int | None = None
    stepping: int | None = None
    model_name: str = ""
    flags: frozenset[str] = frozenset()

    @property
    def is_guest(self) -> bool:
        """True where the CPU says that a hypervisor runs it; arm64 has no such flag."""
        return "hypervisor" in self.flags


@dataclass(frozen=True, slots=True)
class Recognition:
    """What an identity was recognised as.

    name: the microarchitecture, None where the table has none. exact: False where it is only the oldest that
    fits. note: one line on why the identity was not believed; empty where it was.
    """

    name: str | None
    exact: bool = True
    note: str = ""


def read_identity(procfs: Path) -> CpuIdentity:
    """The identity of the first processor of <procfs>/cpuinfo; all unknown where there is none."""
    blocks = read_blocks(procfs)
    if not blocks:
        return CpuIdentity()
    first = blocks[0]
    return _arm_identity(first) if "cpu implementer" in first else _x86_identity(first)


def _x86_identity(block: Block) -> CpuIdentity:
    return CpuIdentity(
        vendor=block.get("vendor_id", ""),
        family=_integer(block.get("cpu family")),
        model=_integer(block.get("model")),
        stepping=_integer(block.get("stepping")),
        model_name=block.get("model name", ""),
        flags=frozenset(block.get("flags", "").split()),
    )


def _arm_identity(block: Block) -> CpuIdentity:
    implementer = _integer(block["cpu implementer"])
    return CpuIdentity(
        vendor=IMPLEMENTERS.get(implementer, block["cpu implementer"]),
        family=_integer(block.get("cpu architecture")),
        model=_integer(block.get("cpu part")),
        stepping=_integer(block.get("cpu revision")),
        model_name=block.get("model name", ""),
        flags=frozenset(block.get("features", "").split()),
    )


def _integer(text: str | None) -> int | None:
    """Decimal or 0x…; None for what is no number ("unknown", "AArch64")."""
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None


def microarchitecture(identity: CpuIdentity) -> str | None:
    """The microarchitecture's name, or None for one that the table does not hold."""
    return recognise(identity).name


def recognise(identity: CpuIdentity) -> Recognition:
    """The microarchitecture by family and model, unless the flags say that it cannot be that one.

    Guests are often given an older model's number with the flags of the host: this is then corrected to the
    oldest microarchitecture that has the flag, and the note says so.
    """
    claimed = _by_number(identity)
    contradiction = _contradiction(identity, claimed)
    return _corrected(identity, claimed, contradiction) if contradiction else Recognition(claimed)


def _by_number(identity: CpuIdentity) -> str | None:
    family, model, stepping = identity.family, identity.model, identity.stepping or 0
    if family is None or model is None:
        return None
    if identity.vendor == "GenuineIntel":
        return intel_name(family, model, stepping)
    if identity.vendor == "AuthenticAMD":
        return amd_name(family, model, is_client="Ryzen" in identity.model_name)
    return ARM.get((identity.vendor, model))


def _contradiction(identity: CpuIdentity, claimed: str | None) -> Evidence | None:
    """The first flag that the claimed microarchitecture cannot have."""
    for evidence in EVIDENCE.get(identity.vendor, ()):
        if evidence.flag in identity.flags and claimed not in evidence.owners:
            return evidence
    return None


def _corrected(identity: CpuIdentity, claimed: str | None, evidence: Evidence) -> Recognition:
    oldest = evidence.owners[0]
    culprit = "; a hypervisor hides the model" if identity.is_guest else ""
    note = (
        f"family {identity.family} model {identity.model} says {claimed or 'nothing known'}, but flag "
        f"{evidence.flag} says {oldest} or later{culprit}"
    )
    return Recognition(oldest, exact=False, note=note)
