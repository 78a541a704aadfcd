"""Trees of hwmon as machines show them: chips, their devices and files, in a temporary directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, object]


class HwmonTree:
    """`root` is a sysfs: chips are real directories below their devices, and links in root/class/hwmon."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "class/hwmon").mkdir(parents=True)
        self._next = 0

    def add(self, name: str, files: Files, device: str = "", *, beside_device: bool = False) -> Path:
        """Make a chip; the answer is where its files are, which is the device for old drivers."""
        at = self.root / "devices" / (device or f"platform/{name}.{self._next}")
        chip = at / f"hwmon/hwmon{self._next}"
        chip.mkdir(parents=True)
        link = self.root / f"class/hwmon/hwmon{self._next}"
        link.symlink_to(os.path.relpath(chip, link.parent))
        (chip / "device").symlink_to("../..")
        place = at if beside_device else chip
        for file, value in {"name": name, **files}.items():
            (place / file).write_text(f"{value}\n")
        self._next += 1
        return place


def epyc(root: Path) -> None:
    """Two sockets under amd_energy: a counter a core, then one a socket."""
    labels = ["Ecore000", "Ecore001", "Esocket0", "Esocket1"]
    files = {f"energy{i}_label": label for i, label in enumerate(labels, 1)}
    tree = HwmonTree(root)
    tree.add("k10temp", {"temp1_input": 41000, "temp1_label": "Tctl"}, "pci0000:00/0000:00:18.3")
    tree.add("amd_energy", {**files, **{f"energy{i}_input": i * 1_000_000 for i in range(1, 5)}})


def grace_hopper(root: Path) -> None:
    """One superchip: four meters of ACPI, of the old kind, which say in oem_info what they are of."""
    tree = HwmonTree(root)
    for number, (part, watts) in enumerate([("Module", 500), ("Grace", 200), ("CPU", 120), ("SysIO", 30)]):
        files = {
            "power1_average": watts * 1_000_000,
            "power1_average_interval": 50,
            "power1_oem_info": f"{part} Power Socket 0",
        }
        device = f"LNXSYSTM:00/LNXSYBUS:00/ACPI000D:0{number}"
        tree.add("power_meter", files, device, beside_device=True)


def server(root: Path, microwatts: object = 230_000_000) -> Path:
    """A server whose firmware shows its node manager through ACPI, and a battery of the RAID controller."""
    tree = HwmonTree(root)
    tree.add("BAT0", {"power1_input": 0}, "LNXSYSTM:00/PNP0C0A:00/power_supply/BAT0")
    return tree.add(
        "power_meter",
        {"power1_average": microwatts, "power1_average_interval": 1000, "power1_oem_info": ""},
        "LNXSYSTM:00/LNXSYBUS:00/ACPI000D:00",
        beside_device=True,
    )


def orin_nx(root: Path) -> Path:
    """Jetson Orin NX: one INA3221; voltages and currents, shunts at in4 and on."""
    rails = [("VDD_IN", 5072, 1200), ("VDD_CPU_GPU_CV", 5072, 400), ("VDD_SOC", 5072, 300)]
    return _ina3221(HwmonTree(root), "i2c-1/1-0040", rails)


def agx_orin(root: Path) -> None:
    """Jetson AGX Orin: two of them, no rail that holds all, and one that is not connected."""
    tree = HwmonTree(root)
    rails = [("VDD_GPU_SOC", 19000, 200), ("VDD_CPU_CV", 19000, 100), ("VIN_SYS_5V0", 4968, 900)]
    _ina3221(tree, "i2c-1/1-0040", rails)
    memory = _ina3221(tree, "i2c-1/1-0041", [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 4968, 100)])
    (memory / "in1_enable").write_text("0\n")


def _ina3221(tree: HwmonTree, device: str, rails: list[tuple[str, int, int]]) -> Path:
    files: dict[str, object] = {}
    for i, (label, millivolts, milliamperes) in enumerate(rails, 1):
        files |= {f"in{i}_label": label, f"in{i}_input": millivolts, f"curr{i}_input": milliamperes}
        files |= {f"in{i + 3}_input": 1, f"in{i + 3}_label": "sum of shunt voltages" if i == 4 else ""}
    return tree.add("ina3221", files, device)


def altra(root: Path) -> None:
    """Ampere Altra, two sockets: X-Gene's driver, once a socket; then Ampere's own, a counter a core."""
    tree = HwmonTree(root)
    for watts in (60, 70):
        files = {"power1_label": "CPU power", "power1_input": watts * 1_000_000}
        tree.add("apm_xgene", {**files, "power2_label": "IO power", "power2_input": 20_000_000})


def altra_counting(root: Path) -> None:
    """Ampere's own driver: what the firmware counts, by its labels."""
    files = {f"energy{i}_label": f"Core Energy {i:03}" for i in range(1, 4)}
    HwmonTree(root).add("altra_hwmon", {**files, **{f"energy{i}_input": 10 * i for i in range(1, 4)}})


def graphics(root: Path) -> None:
    """Cards of three makers' drivers, and an APU beside them."""
    tree = HwmonTree(root)
    tree.add("i915", {"energy1_input": 11, "in0_input": 900}, "pci0000:00/0000:03:00.0")
    tree.add("i915_gt0", {"energy1_input": 7}, "pci0000:00/0000:03:00.0/gt")
    labels = {"energy1_label": "card", "energy2_label": "pkg"}
    tree.add("xe", {"energy1_input": 22, "energy2_input": 20, **labels}, "pci0000:00/0000:04:00.0")
    power = {"power1_average": 90_000_000, "power1_input": 91_000_000, "power1_label": "PPT"}
    tree.add("amdgpu", power, "pci0000:00/0000:41:00.0")
    apu = {"power1_input": 15_000_000, "power1_label": "PPT", "in1_label": "vddnb", "in1_input": 800}
    tree.add("amdgpu", apu, "pci0000:00/0000:05:00.0")


def raspberry_pi_5(root: Path) -> None:
    """What Raspberry Pi's kernel shows: an alarm and voltages, no current."""
    tree = HwmonTree(root)
    tree.add("rpi_volt", {"in0_lcrit_alarm": 0}, "platform/soc/firmware")
    tree.add("rp1_adc", {f"in{i}_input": 1500 for i in range(1, 5)} | {"temp1_input": 40000})


def supplies(root: Path) -> None:
    """Two power supplies on PMBus, the controller of a regulator, and an INA226 behind who knows what."""
    tree = HwmonTree(root)
    for address in ("1-0058", "1-0059"):
        files = {"power1_label": "pin", "power1_input": 150_000_000}
        files |= {"power2_label": "pout1", "power2_input": 140_000_000}
        tree.add("dps920ab", files, f"i2c-1/{address}")
    rail = {"in1_label": "vin", "in1_input": 12000, "in2_label": "vout1", "in2_input": 1000}
    rail |= {"curr1_label": "iout1", "curr1_input": 30000}
    tree.add("max20730", rail, "i2c-1/1-0060")
    shunt = {"in0_input": 10, "in1_input": 12000, "curr1_input": 2000, "power1_input": 24_000_000}
    tree.add("ina226", shunt, "i2c-1/1-0044")
