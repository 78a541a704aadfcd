"""Which of hwmon's chips measures what: a table, and the user's own rows before it.

A sensor that no row knows is not read: what hangs behind an INA226, only the board knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from estimator.meters.hwmon_rules import NO_ZONE, ChipRule, Measure
from estimator.meters.hwmon_tree import Chip


def rule_of(chip: Chip, own: Sequence[ChipRule]) -> ChipRule | None:
    """The user's row for the chip, filled up with what the table says of it; else the table's."""
    known = next((rule for rule in KNOWN if rule.is_of(chip)), None)
    mine = next((rule for rule in own if rule.is_of(chip)), None)
    if mine is None or known is None:
        return mine or known
    pairings = None if mine.is_same_index else known.pairings
    return replace(
        mine,
        measures=mine.measures or known.measures,
        pairings=pairings if mine.pairings is None else mine.pairings,
        skip_voltages=mine.skip_voltages or known.skip_voltages,
        skip_currents=mine.skip_currents or known.skip_currents,
        of_socket=known.of_socket,
        unless=frozenset() if mine.measures else known.unless,
    )


_ONE_TO_ONE = {1: 1}
_BOARD = "(VDD_IN|POM_5V_IN)"
_TEGRA = (
    # Orin NX and Nano, Xavier NX: the whole module, and in it the SoC's two rails.
    Measure("platform", _BOARD),
    Measure("package", "(VDD_CPU_GPU_CV|VDD_SOC)"),
    # AGX Orin, AGX Xavier: no rail holds all. VIN_SYS_5V0 and SYS5V feed the memory too, which has its own.
    Measure("package", "(VDD_GPU_SOC|VDD_CPU_CV|CPU|GPU|SOC|CV)"),
    Measure("dram", "(VDDQ_VDD2_1V8AO|VDDRQ|VDD_DDR|VDD_SYS_DDR)"),
    # TX1, TX2 and Nano: a rail for the GPU alone.
    Measure("gpu", "(VDD_SYS_GPU|VDD_GPU|POM_5V_GPU)"),
    Measure("package", "(VDD_SYS_CPU|VDD_CPU|POM_5V_CPU|VDD_SYS_SOC)"),
)
_SUPPLY = (Measure("platform", "(pin|power total)"),)
_NODE = Measure("platform", "(?!.*socket).*")

KNOWN = (
    # AMD's package counters, of the time when powercap had none: drivers/hwmon/amd_energy.c (5.8 to 5.13, and
    # AMD's own since). Each core's is there too, and in the package's.
    ChipRule("amd_energy", (Measure("package", r"Esocket\d+"),)),
    ChipRule("fam15h_power", (Measure("package", "power1"),), of_socket=True),
    # drivers/hwmon/xgene-hwmon.c: on X-Gene and on Altra the cores, and the rest of the SoC.
    ChipRule("apm_xgene", (Measure("package", "(CPU|IO) power"),), of_socket=True),
    # Ampere's own driver; the labels are the firmware's.
    ChipRule(
        "altra_hwmon",
        (
            Measure("package", r"(SoC|Socket|Package|Pkg).*Energy.*"),
            Measure("core", r"Core Energy \d+"),
            Measure("dram", r"(DIMM|DRAM|Memory).*Energy.*"),
        ),
        of_socket=True,
    ),
    # drivers/hwmon/smpro-hwmon.c
    ChipRule(
        "smpro_hwmon",
        (
            Measure("package", r"power\d+ (CORE VRD|SoC|RCA VRD)"),
            Measure("dram", r"power\d+ DIMM VRD\d+"),
        ),
        of_socket=True,
    ),
    # acpi_power_meter: the node, as a rule. Grace says in oem_info which part it is; memory is in package.
    ChipRule(
        "power_meter",
        (
            Measure("package", r"Grace Power Socket \d+"),
            Measure("package", r"Total (Input )?Power (in uW )?socket \d+"),
            Measure("core", r"CPU (Rail )?(Input )?Power (in uW )?socket \d+"),
            Measure("uncore", r"(SysIO|SoC Rail) (Input )?Power (in uW )?socket \d+"),
            Measure("psys", r"Module Power Socket \d+"),
            _NODE,
        ),
    ),
    # Discrete GPUs alone have these: Documentation/ABI/testing/sysfs-driver-intel-{i915,xe}-hwmon. i915 has a
    # chip for each tile as well, which is in the card's.
    ChipRule("i915", (Measure("gpu", "energy1"),)),
    *(ChipRule(f"i915_gt{tile}", (Measure(NO_ZONE, ".*"),)) for tile in range(4)),
    ChipRule("xe", (Measure("gpu", "(energy1|card)"), Measure("gpu", "(energy2|pkg)"))),
    # An APU's is the package's power, not the GPU's; it has a north bridge.
    ChipRule("amdgpu", (Measure("gpu", "(PPT|slowPPT|power1)"),), unless=frozenset({"vddnb"})),
    # Apple's boards, drivers/hwmon/macsmc-hwmon.c.
    ChipRule("macsmc_hwmon", (Measure("platform", "Total System Power"),)),
    # Boards with a monitor on each rail; Jetson is known by its labels.
    ChipRule("ina3221", _TEGRA, pairings={1: 1, 2: 2, 3: 3}),
    *(
        ChipRule(name, (Measure("platform", _BOARD),), pairings=_ONE_TO_ONE)
        for name in (
            "ina209", "ina219", "ina220", "ina226", "ina228", "ina230", "ina231", "ina233", "ina234",
            "ina237", "ina238", "ina260", "ltc2945", "ltc4260", "ltc4261",
        )
    ),
    ChipRule("ltc2947", (Measure("platform", _BOARD),), pairings={0: 1}),
    # Power supplies that tell what they take in; several of them add up.
    *(
        ChipRule(name, _SUPPLY)
        for name in (
            "acbel_fsg032", "bpa_rs600", "cffps1", "cffps2", "crps", "dps800", "dps920ab", "ipsps1",
            "pfe1100", "pfe3000", "pmbus_psu", "corsairpsu",
        )
    ),
    # Regulators and hot-swap controllers: which rail they feed, the board knows; the pairs are theirs.
    # max20730's current is that of the output.
    *(
        ChipRule(name, pairings=pairs)
        for name, pairs in (
            ("max20730", {2: 1}), ("max20734", {2: 1}), ("max20743", {2: 1}), ("max20751", {2: 1}),
            ("adm1275", _ONE_TO_ONE), ("adm1276", _ONE_TO_ONE), ("adm1278", _ONE_TO_ONE),
            ("adm1293", _ONE_TO_ONE), ("mp2975", _ONE_TO_ONE),
        )
    ),
    ChipRule("max34440", skip_currents=frozenset({7, 8})),
)  # fmt: skip
"""In the order in which chips of different names are preferred where they measure the same zone."""
