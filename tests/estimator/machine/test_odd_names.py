"""Whatever a CPU is called, it is described; a clock is believed if it is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.machine.catalogue import Catalogue
from estimator.machine.description import Size, describe, describe_named
from estimator.machine.identity import CpuIdentity, read_identity
from estimator.machine.names import family_of_key, key_of, most_chips
from estimator.machine.size import read_size
from estimator.machine.topology import CpuTopology

TABLES = Catalogue()
# Pieces that names are made of, whole and broken, and any text between them.
NAMES = st.lists(
    st.sampled_from(
        [
            "Intel(R)",
            "Xeon(R)",
            "Core(TM) i7-",
            "AMD EPYC ",
            "CPU",
            "E5-2690",
            "9654",
            "v4",
            "0000",
            "@",
            "2.4.1GHz",
        ]
    )
    | st.from_regex(r"\A@ ?[\d.]{0,6} ?[GM]Hz\Z")
    | st.text(max_size=8),
    max_size=6,
).map(" ".join)


def mhz_of(name: str, tmp_path: Path) -> float | None:
    topology = CpuTopology((0,), (0,), (0,), frozenset({0}))
    return read_size(tmp_path, tmp_path, CpuIdentity(model_name=name), topology).mhz


@pytest.mark.parametrize(
    ("name", "mhz"),
    [
        ("Intel(R) Xeon(R) CPU @ 2.60GHz", 2600.0),
        ("Some CPU @ 3 GHz", 3000.0),
        ("Some CPU @ 2.4.1GHz", None),
        ("Some CPU @ .GHz", None),
        ("Some CPU @ 0.00GHz", None),
        ("Some CPU @ 9999GHz", None),
        ("Some CPU @ ٣GHz", None),
    ],
)
def test_a_clock_is_believed_if_it_is_one(name: str, mhz: float | None, tmp_path: Path) -> None:
    assert mhz_of(name, tmp_path) == mhz


@given(name=NAMES)
def test_no_name_raises(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    mhz_of(name, folder)
    describe(CpuIdentity(model_name=name), Size(4, 16.0), name, TABLES)
    for is_guest in (False, True):
        described = describe_named(name, Size(4, 16.0), TABLES, is_guest=is_guest)
        assert described.n_cpu >= 1
    family_of_key(key_of(name))
    assert most_chips(key_of(name)) >= 1


@given(name=st.text(max_size=20), number=st.text(max_size=6))
def test_no_cpuinfo_raises(name: str, number: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    lines = (f"{key} : {number}" for key in ("cpu family", "model", "stepping", "physical id", "core id"))
    text = "\n".join(["processor : 0", f"model name : {name}", *lines])
    (folder / "cpuinfo").write_text(text, encoding="utf-8", errors="replace")
    describe(read_identity(folder), Size(4), catalogue=TABLES)
