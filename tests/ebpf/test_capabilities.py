"""Which capabilities are wanted, which are lacking, and what is said then."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpf.capabilities import (
    BITS,
    lacking,
    mask_of,
    names_in,
    read_sets,
    refusal,
    wanted_for_programs,
    written,
)


def test_what_is_held_is_what_the_kernel_says_of_this_process() -> None:
    status = Path("/proc/self/status").read_text().splitlines()
    told = {line.split(":")[0]: int(line.split()[1], 16) for line in status if line.startswith("Cap")}
    held = read_sets()
    assert (held.effective, held.permitted, held.inheritable) == (
        told["CapEff"],
        told["CapPrm"],
        told["CapInh"],
    )


def test_names_and_bits_are_two_ways_of_saying_one_thing() -> None:
    assert names_in(mask_of(BITS)) == BITS.keys()
    assert mask_of(["BPF", "DAC_READ_SEARCH"]) == 1 << 39 | 1 << 2
    assert written(["BPF", "PERFMON"]) == "CAP_BPF, CAP_PERFMON"


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ((5, 4), ("SYS_ADMIN", "SYS_RESOURCE")),
        ((5, 8), ("BPF", "PERFMON", "SYS_RESOURCE")),
        ((5, 11), ("BPF", "PERFMON")),
        ((6, 18), ("BPF", "PERFMON")),
    ],
)
def test_what_programs_take_depends_on_the_kernel(version: tuple[int, int], wanted: tuple[str, ...]) -> None:
    assert wanted_for_programs(version) == wanted


def test_sys_admin_still_holds_what_was_split_off_it_and_no_more() -> None:
    assert lacking(["BPF", "PERFMON", "SYS_RESOURCE"], {"SYS_ADMIN"}) == ["SYS_RESOURCE"]
    assert lacking(["BPF", "PERFMON"], {"BPF"}) == ["PERFMON"]
    assert lacking(["SYS_ADMIN"], {"BPF", "PERFMON"}) == ["SYS_ADMIN"]


def test_a_refusal_names_what_is_lacking() -> None:
    assert refusal((6, 1), {"BPF"}) == (
        "needs CAP_BPF and CAP_PERFMON (or root); not effective here: CAP_PERFMON"
    )
    assert refusal((5, 4), set()).startswith("needs CAP_SYS_ADMIN and CAP_SYS_RESOURCE (or root); not")


def test_a_refusal_of_one_who_lacks_nothing_is_somebody_elses() -> None:
    assert "a seccomp profile" in refusal((6, 1), {"BPF", "PERFMON"})
