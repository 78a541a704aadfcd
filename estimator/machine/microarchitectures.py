"""The table behind CpuIdentity: which family, model and stepping is which microarchitecture.

Sources: Linux arch/x86/include/asm/intel-family.h, arch/x86/kernel/cpu/amd.c (bsp_init_amd) and
arch/arm64/include/asm/cputype.h. Server parts carry a name of their own where their power differs from that
of the client parts of the same core; AMD's by its code, since one number range is not one design: "Bergamo"
is Siena, too.
"""

from __future__ import annotations

from typing import NamedTuple


class Evidence(NamedTuple):
    """A flag and the microarchitectures that have it, oldest server part first."""

    flag: str
    owners: tuple[str, ...]


IMPLEMENTERS: dict[int | None, str] = {
    0x41: "ARM",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x61: "Apple",
    0x6D: "Microsoft",
    0xC0: "Ampere",
}

ARM: dict[tuple[str, int], str] = {
    ("ARM", 0xD08): "Cortex-A72",
    ("ARM", 0xD0C): "Neoverse N1",
    ("ARM", 0xD40): "Neoverse V1",
    ("ARM", 0xD49): "Neoverse N2",
    ("ARM", 0xD4F): "Neoverse V2",
    ("ARM", 0xD84): "Neoverse V3",
    ("ARM", 0xD8E): "Neoverse N3",
    ("Ampere", 0xAC3): "AmpereOne",
    ("HiSilicon", 0xD01): "Kunpeng 920",
    ("Microsoft", 0xD49): "Neoverse N2",
    ("ARM", 0xD03): "Cortex-A53",
}

_INTEL_FAMILY_6: dict[int, str] = {
    **dict.fromkeys((0x1A, 0x1E, 0x1F, 0x2E), "Nehalem"),
    **dict.fromkeys((0x25, 0x2C, 0x2F), "Westmere"),
    **dict.fromkeys((0x2A, 0x2D), "Sandy Bridge"),
    **dict.fromkeys((0x3A, 0x3E), "Ivy Bridge"),
    **dict.fromkeys((0x3C, 0x3F, 0x45, 0x46), "Haswell"),
    **dict.fromkeys((0x3D, 0x47, 0x4F, 0x56), "Broadwell"),
    **dict.fromkeys((0x4E, 0x5E), "Skylake"),
    **dict.fromkeys((0xA5, 0xA6), "Comet Lake"),
    **dict.fromkeys((0x6A, 0x6C), "Ice Lake-SP"),
    **dict.fromkeys((0x7D, 0x7E, 0x9D), "Ice Lake"),
    0xA7: "Rocket Lake",
    **dict.fromkeys((0x8C, 0x8D), "Tiger Lake"),
    **dict.fromkeys((0x97, 0x9A), "Alder Lake"),
    **dict.fromkeys((0xB7, 0xBA, 0xBF), "Raptor Lake"),
    **dict.fromkeys((0xAA, 0xAC), "Meteor Lake"),
    **dict.fromkeys((0xB5, 0xC5, 0xC6), "Arrow Lake"),
    0xBD: "Lunar Lake",
    0x8F: "Sapphire Rapids",
    0xCF: "Emerald Rapids",
    **dict.fromkeys((0xAD, 0xAE), "Granite Rapids"),
    0xAF: "Sierra Forest",
}


def intel_name(family: int, model: int, stepping: int) -> str | None:
    """Intel's microarchitecture; three generations share model 0x55 and two 0x8E and 0x9E, by stepping."""
    if family != 6:
        return None
    if model == 0x55:
        return "Skylake-SP" if stepping < 5 else "Cooper Lake" if stepping >= 0xB else "Cascade Lake"
    if model in (0x8E, 0x9E):
        return "Kaby Lake" if stepping < 0xA else "Coffee Lake"
    return _INTEL_FAMILY_6.get(model)


# (family, first model, last model, server part or None, client part)
_AMD: tuple[tuple[int, int, int, str | None, str], ...] = (
    (0x17, 0x00, 0x07, "Naples", "Zen"),
    (0x17, 0x08, 0x08, None, "Zen+"),
    (0x17, 0x10, 0x2F, None, "Zen"),
    (0x17, 0x30, 0x3F, "Rome", "Zen 2"),
    (0x17, 0x40, 0x4F, None, "Zen 2"),
    (0x17, 0x50, 0x5F, None, "Zen"),
    (0x17, 0x60, 0x7F, None, "Zen 2"),
    (0x17, 0x90, 0xAF, None, "Zen 2"),
    (0x19, 0x00, 0x0F, "Milan", "Zen 3"),
    (0x19, 0x10, 0x1F, "Genoa", "Zen 4"),
    (0x19, 0x20, 0x5F, None, "Zen 3"),
    (0x19, 0x60, 0x9F, None, "Zen 4"),
    (0x19, 0xA0, 0xAF, "Bergamo", "Zen 4"),
    (0x1A, 0x00, 0x0F, "Turin", "Zen 5"),
    (0x1A, 0x10, 0x1F, "Turin Dense", "Zen 5"),
    (0x1A, 0x20, 0x4F, None, "Zen 5"),
    (0x1A, 0x60, 0x7F, None, "Zen 5"),
)


def amd_name(family: int, model: int, *, is_client: bool) -> str | None:
    """AMD's microarchitecture. Threadrippers carry the numbers of EPYCs: is_client says which the name is."""
    for of_family, first, last, server, client in _AMD:
        if family == of_family and first <= model <= last:
            return client if server is None or is_client else server
    return None


_AMX = ("Sapphire Rapids", "Emerald Rapids", "Granite Rapids")
_VBMI2 = ("Ice Lake-SP", "Ice Lake", "Tiger Lake", "Rocket Lake", "Alder Lake", *_AMX)
_ZEN_4 = ("Genoa", "Bergamo", "Turin", "Turin Dense", "Zen 4", "Zen 5")

# The youngest flag first: the first contradiction found is the one that narrows most.
EVIDENCE: dict[str, tuple[Evidence, ...]] = {
    "GenuineIntel": (
        Evidence("amx_fp16", ("Granite Rapids",)),
        Evidence("amx_tile", _AMX),
        Evidence("avx512_vbmi2", _VBMI2),
        Evidence("avx512_vnni", ("Cascade Lake", "Cooper Lake", *_VBMI2)),
    ),
    "AuthenticAMD": (
        Evidence("avx512f", _ZEN_4),
        Evidence("vaes", ("Milan", "Zen 3", *_ZEN_4)),
    ),
}
