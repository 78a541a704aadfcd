"""CPU names as kernels, makers, clouds and hypervisors write them: one key, one family."""

from __future__ import annotations

import pytest

from estimator.machine.names import family_of_key, key_of, most_chips


@pytest.mark.parametrize(
    ("name", "key", "family"),
    [
        ("Intel(R) Xeon(R) Platinum 8480+ CPU @ 2.00GHz", "xeon 8480+", "Sapphire Rapids"),
        ("Intel Xeon 8480+", "xeon 8480+", "Sapphire Rapids"),
        ("INTEL(R) XEON(R) PLATINUM 8581C CPU @ 2.10GHz", "xeon 8581c", "Emerald Rapids"),
        ("Intel Xeon Scalable Platinum 8173M", "xeon 8173m", "Skylake-SP"),
        ("Intel Cascade Lake P-8259CL", "xeon 8259cl", "Cascade Lake"),
        ("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", "xeon e5-2686 v4", "Broadwell"),
        ("Intel Haswell E7 8880v3", "xeon e7-8880 v3", "Haswell"),
        ("Intel Xeon E3-1240V2", "xeon e3-1240 v2", "Ivy Bridge client"),
        ("Intel Xeon E E-2488", "xeon e-2488", "Raptor Lake"),
        ("Intel(R) Xeon(R) D-2776NT CPU @ 2.10GHz", "xeon d-2776nt", "Ice Lake-SP"),
        ("Intel Xeon-D 2776NT", "xeon d-2776nt", "Ice Lake-SP"),
        ("Intel(R) Xeon(R) 6980P", "xeon 6980p", "Granite Rapids"),
        ("Intel(R) Xeon(R) 6756E", "xeon 6756e", "Sierra Forest"),
        ("Intel Xeon 6369P", "xeon 6369p", "Raptor Lake"),
        ("Intel Xeon Platinum 8380HL", "xeon 8380hl", "Cooper Lake"),
        ("Intel Xeon Processor (Skylake, IBRS)", "xeon (skylake ibrs)", "Skylake-SP"),
        ("AMD EPYC 9654 96-Core Processor", "epyc 9654", "Genoa"),
        ("AMD EPYC 9754", "epyc 9754", "Bergamo"),
        ("AMD EPYC 8534PN", "epyc 8534pn", "Bergamo"),
        ("AMD EPYC 9575F 64-Core Processor", "epyc 9575f", "Turin"),
        ("AMD EPYC 9965 192-Core Processor", "epyc 9965", "Turin Dense"),
        ("2nd Gen AMD EPYC 7R32", "epyc 7r32", "Rome"),
        ("AMD EPYC 9B14", "epyc 9b14", "Genoa"),
        ("AMD EPYC-Milan Processor", "epyc-milan", "Milan"),
        ("AMD EPYC 4584PX", "epyc 4584px", "Zen 4"),
        ("Six-Core AMD Opteron(r) Processor 8425 HE", "opteron 8425he", "K10"),
        ("AMD Ryzen Threadripper 1950X 16-Core Processor", "ryzen threadripper 1950x", "Zen"),
        ("Ampere® Altra® 64-Bit Multi-Core Processor Q64-30", "ampere altra q64-30", "Neoverse N1"),
        ("AWS Graviton3E Processor", "graviton3e", "Neoverse V1"),
        ("Google Axion", "axion", "Neoverse V2"),
        ("Intel(R) Xeon(R) CPU @ 2.80GHz", "xeon", None),
    ],
)
def test_a_name_is_cleaned_and_its_numbering_understood(name: str, key: str, family: str | None) -> None:
    assert key_of(name) == key
    assert family_of_key(key) == family


@pytest.mark.parametrize(
    ("key", "chips"),
    [
        ("epyc 9654p", 1),
        ("epyc 9654", 2),
        ("epyc 8534pn", 1),
        ("xeon 8490h", 8),
        ("xeon 8480+", 2),
        ("xeon 6338", 2),
        ("xeon e-2388g", 1),
        ("xeon e5-4650", 4),
    ],
)
def test_a_name_says_for_how_many_sockets_it_is_sold(key: str, chips: int) -> None:
    assert most_chips(key) == chips
