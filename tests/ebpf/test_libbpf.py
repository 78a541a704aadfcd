"""What is made of libbpf's messages."""

from __future__ import annotations

import pytest

from ebpf import libbpf
from ebpf.core_loader import _explained
from ebpf.libbpf import refusal_in

REFUSED = """\
libbpf: prog 'on_switch': -- BEGIN PROG LOAD LOG --
{before}0: R1=ctx() R10=fp0
12: (85) call bpf_probe_read_kernel#113
program of this type cannot use helper bpf_probe_read_kernel#113
processed 13 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 1
-- END PROG LOAD LOG --"""


@pytest.mark.parametrize("before", ["", "1: (b7) r0 = 0\n" * 100_000], ids=["short", "long"])
def test_the_reason_is_the_verifiers_last_word(before: str) -> None:
    said = refusal_in(REFUSED.format(before=before))
    assert said == "program of this type cannot use helper bpf_probe_read_kernel#113"


@pytest.mark.parametrize("text", ["", "libbpf: map 'counts': created", "-- BEGIN PROG LOAD LOG --\n"])
def test_other_messages_have_no_reason(text: str) -> None:
    assert refusal_in(text) == ""


def test_the_reason_is_in_the_message_of_whoever_is_refused() -> None:
    libbpf.verdicts.append("cannot use helper x#1")
    assert "(the verifier: cannot use helper x#1)" in str(_explained(OSError(22, "Invalid argument")))
    assert "verifier" not in str(_explained(OSError(22, "Invalid argument"))), "it is of one refusal alone"
