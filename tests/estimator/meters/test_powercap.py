from __future__ import annotations

import errno
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from estimator.errors import MeterUnavailable
from estimator.meters import powercap
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import ZoneReading
from estimator.meters.powercap import PowercapMeter
from estimator.meters.powercap_counter import read_file
from estimator.meters.powercap_tree import scan
from tests.estimator.meters.rapl_tree import AMD_RANGE_UJ, RaplTree
from tests.estimator.usages import ANY_USAGE


class Second:
    """A clock on which one second passes with every look."""

    def __init__(self) -> None:
        self._seconds = itertools.count(1)

    def __call__(self) -> int:
        return next(self._seconds) * 1_000_000_000


class Faults:
    """The read call, with an errno for the files that are told to fail."""

    def __init__(self) -> None:
        self.errno: dict[str, int] = {}

    def __call__(self, descriptor: int) -> bytes:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        for zone_id, number in self.errno.items():
            if path.endswith(f"{zone_id}/energy_uj"):
                raise OSError(number, os.strerror(number))
        return read_file(descriptor)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    return tmp_path / "sys"


def zones(readings: list[ZoneReading]) -> list[tuple[str, int | None]]:
    return sorted(((reading.zone, reading.socket) for reading in readings), key=str)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def joules(energy: MeteredEnergy) -> dict[tuple[str, int | None], float]:
    return {(zone.zone, zone.socket): zone.joules for zone in energy.measure(ANY_USAGE)}


def counted(energy: MeteredEnergy) -> tuple[int, int, int]:
    errors = energy.errors()
    return errors["read"], errors["gap"], errors["vanished"]


def test_two_sockets_with_dram_are_four_counters_each_once(sysfs: Path) -> None:
    RaplTree.two_sockets(sysfs)
    readings = PowercapMeter(sysfs).read()
    assert zones(readings) == [("dram", 0), ("dram", 1), ("package", 0), ("package", 1)]
    assert len({os.path.realpath(reading.path) for reading in readings}) == 4


def test_a_zone_goes_by_its_flat_path_below_the_given_root(sysfs: Path) -> None:
    RaplTree.two_sockets(sysfs)
    paths = {reading.path for reading in PowercapMeter(sysfs).read()}
    assert paths == {f"{sysfs}/class/powercap/intel-rapl:{zone}" for zone in ("0", "1", "0:0", "1:0")}


@pytest.mark.parametrize("flat", [[], ["intel-rapl"], ["intel-rapl:0", "intel-rapl:1"]])
def test_zones_without_a_flat_link_are_found_in_their_parents(sysfs: Path, flat: list[str]) -> None:
    RaplTree.two_sockets(sysfs)
    for link in (sysfs / "class/powercap").iterdir():
        if link.name not in flat:
            link.unlink()
    if not flat:
        (sysfs / "devices/virtual/powercap/intel-rapl").rename(sysfs / "class/powercap/intel-rapl")
    readings = PowercapMeter(sysfs).read()
    assert zones(readings) == [("dram", 0), ("dram", 1), ("package", 0), ("package", 1)]


def test_flat_directories_without_nesting_take_their_socket_from_the_package_beside(sysfs: Path) -> None:
    for zone_id, name in (("intel-rapl:3", "package-1"), ("intel-rapl:3:0", "dram")):
        directory = sysfs / "class/powercap" / zone_id
        directory.mkdir(parents=True)
        for file, text in (("name", name), ("max_energy_range_uj", "99"), ("energy_uj", "5")):
            (directory / file).write_text(f"{text}\n")
    assert zones(PowercapMeter(sysfs).read()) == [("dram", 1), ("package", 1)]


def test_amd_has_package_and_core_alone(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0", 5, AMD_RANGE_UJ)
    tree.add_zone("intel-rapl:0:0", "core", 6, AMD_RANGE_UJ)
    readings = PowercapMeter(sysfs).read()
    assert zones(readings) == [("core", 0), ("package", 0)]
    assert {reading.max_energy_uj for reading in readings} == {AMD_RANGE_UJ}


def test_psys_belongs_to_no_socket_and_numbers_may_have_gaps(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl:0:2", "uncore")
    tree.add_zone("intel-rapl:4", "psys")
    assert zones(PowercapMeter(sysfs).read()) == [("package", 0), ("psys", None), ("uncore", 0)]


def test_the_second_interface_is_dropped_where_it_repeats_a_zone(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl-mmio:0", "package-0")
    tree.add_zone("intel-rapl-mmio:0:0", "dram")
    paths = sorted(reading.path.rpartition("/")[2] for reading in PowercapMeter(sysfs).read())
    assert paths == ["intel-rapl-mmio:0:0", "intel-rapl:0"]


def test_the_second_interface_is_kept_where_it_is_the_only_one(sysfs: Path) -> None:
    RaplTree(sysfs).add_zone("intel-rapl-mmio:0", "package-0")
    assert zones(PowercapMeter(sysfs).read()) == [("package", 0)]


def test_two_dies_of_a_package_both_count(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0-die-0")
    tree.add_zone("intel-rapl:1", "package-0-die-1")
    tree.add_zone("intel-rapl:1:0", "dram")
    energy = MeteredEnergy(PowercapMeter(sysfs, clock=Second()))
    energy.measure(ANY_USAGE)
    tree.advance("intel-rapl:0", 10)
    tree.advance("intel-rapl:1", 4)
    measured = sorted((zone.zone, zone.socket, zone.joules) for zone in energy.measure(ANY_USAGE))
    assert measured == [("package", 0, 4.0), ("package", 0, 10.0)]  # DRAM stands still: no measured zero


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("name", None, "name"),
        ("name", "package-x", "package-x"),
        ("max_energy_range_uj", None, "max_energy_range_uj"),
        ("max_energy_range_uj", "", "max_energy_range_uj"),
        ("max_energy_range_uj", "-3", "max_energy_range_uj"),
        ("max_energy_range_uj", "0", "max_energy_range_uj"),
        ("energy_uj", None, "energy_uj"),
    ],
)
def test_a_malformed_directory_is_left_out_and_said_so_once(
    sysfs: Path, file: str, content: str | None, message: str
) -> None:
    tree = RaplTree.two_sockets(sysfs)
    broken = tree.path("intel-rapl:1:0")
    (broken / file).unlink()
    if content is not None:
        (broken / file).write_text(f"{content}\n")
    meter = PowercapMeter(sysfs)
    assert zones(meter.read()) == [("dram", 0), ("package", 0), ("package", 1)]
    (error,) = meter.errors
    assert (error.path, error.vanished) == (str(broken), False)
    assert message in error.message
    meter.read()
    assert meter.errors == []


def test_a_zone_without_a_package_above_it_is_left_out(sysfs: Path) -> None:
    tree = RaplTree.two_sockets(sysfs)
    (tree.path("intel-rapl:1") / "name").write_text("rubbish\n")
    meter = PowercapMeter(sysfs)
    assert zones(meter.read()) == [("dram", 0), ("package", 0)]
    assert len(meter.errors) == 2


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENODATA])
def test_a_read_that_fails_once_is_counted_and_its_energy_is_not_lost(sysfs: Path, number: int) -> None:
    tree, faults = RaplTree.two_sockets(sysfs), Faults()
    energy = MeteredEnergy(PowercapMeter(sysfs, read_file=faults, clock=Second()))
    energy.measure(ANY_USAGE)
    tree.advance_all(10)
    faults.errno["intel-rapl:1"] = number
    assert joules(energy) == {("package", 0): 10, ("dram", 0): 10, ("dram", 1): 10}
    assert counted(energy) == (1, 0, 0)
    faults.errno.clear()
    tree.advance_all(3)
    assert joules(energy)["package", 1] == 13


def test_garbage_in_energy_uj_is_an_error_of_that_zone_alone(sysfs: Path) -> None:
    tree = RaplTree.two_sockets(sysfs)
    meter = PowercapMeter(sysfs)
    (tree.path("intel-rapl:0") / "energy_uj").write_text("\n")
    assert zones(meter.read()) == [("dram", 0), ("dram", 1), ("package", 1)]
    (error,) = meter.errors
    assert not error.vanished
    assert "microjoules" in error.message


def test_a_socket_that_vanishes_and_returns_is_counted_and_the_others_go_on(sysfs: Path) -> None:
    tree = RaplTree.two_sockets(sysfs)
    energy = MeteredEnergy(PowercapMeter(sysfs, clock=Second(), rescan_reads=2))
    energy.measure(ANY_USAGE)
    tree.remove("intel-rapl:1")
    for _ in range(5):
        tree.advance_all(10)
        assert joules(energy) == {("package", 0): 10, ("dram", 0): 10}
    assert counted(energy) == (0, 0, 2)
    tree.restore("intel-rapl:1", energy_uj=0)
    for _ in range(3):
        tree.advance_all(10)
        answer = joules(energy)
    assert answer == dict.fromkeys([("package", 0), ("dram", 0), ("package", 1), ("dram", 1)], 10)
    assert counted(energy) == (0, 2, 2)


def test_enodev_from_the_kernel_means_vanished(sysfs: Path) -> None:
    RaplTree.two_sockets(sysfs)
    faults = Faults()
    meter = PowercapMeter(sysfs, read_file=faults)
    faults.errno["intel-rapl:1"] = errno.ENODEV
    meter.read()
    assert [(error.path[-12:], error.vanished) for error in meter.errors] == [("intel-rapl:1", True)]


def test_a_missing_zone_is_in_the_errors_of_every_read(sysfs: Path) -> None:
    tree = RaplTree.two_sockets(sysfs)
    meter = PowercapMeter(sysfs)
    tree.remove("intel-rapl:1:0")
    for _ in range(7):
        assert len(meter.read()) == 3
        assert [error.vanished for error in meter.errors] == [True]


def test_the_tree_is_searched_at_most_once_in_n_reads_and_only_while_a_zone_is_missing(
    sysfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = RaplTree.two_sockets(sysfs)
    meter = PowercapMeter(sysfs, rescan_reads=4)
    scans: list[Path] = []
    monkeypatch.setattr(powercap, "scan", lambda root: scans.append(root) or scan(root))
    for _ in range(8):
        meter.read()
    assert scans == []
    tree.remove("intel-rapl:1")
    for _ in range(9):
        meter.read()
    assert len(scans) == 2


def test_a_replaced_file_is_opened_anew_and_the_old_one_closed(sysfs: Path) -> None:
    tree = RaplTree.two_sockets(sysfs)
    meter = PowercapMeter(sysfs)
    before = open_descriptors()
    energy = tree.path("intel-rapl:0") / "energy_uj"
    energy.unlink()
    energy.write_text("77\n")
    assert 77 in {reading.energy_uj for reading in meter.read()}
    assert meter.errors == []
    assert open_descriptors() == before


def test_a_wrap_gives_the_right_joules(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0", AMD_RANGE_UJ - 1_000_000, AMD_RANGE_UJ)
    energy = MeteredEnergy(PowercapMeter(sysfs, clock=Second()))
    energy.measure(ANY_USAGE)
    tree.advance("intel-rapl:0", 123.456789)
    assert tree.energy_uj("intel-rapl:0") < 130_000_000
    assert joules(energy) == {("package", 0): 123.456789}


def test_the_filter_serves_the_named_zones_alone(sysfs: Path) -> None:
    RaplTree.two_sockets(sysfs)
    meter = PowercapMeter(sysfs, zones=["DRAM"])
    assert zones(meter.read()) == [("dram", 0), ("dram", 1)]
    assert meter.errors == []


def test_a_filter_that_leaves_nothing_says_what_there_is(sysfs: Path) -> None:
    RaplTree.two_sockets(sysfs)
    with pytest.raises(MeterUnavailable, match=r"asks for psys.* has dram, package alone"):
        PowercapMeter(sysfs, zones=["psys"])


def test_no_tree_says_which_path_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MeterUnavailable, match=f"{tmp_path}/class/powercap"):
        PowercapMeter(tmp_path)


def test_nothing_but_malformed_zones_names_the_first(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0", max_energy_uj=0)
    with pytest.raises(MeterUnavailable, match=r"intel-rapl:0 .*max_energy_range_uj"):
        PowercapMeter(sysfs)


def test_counters_none_of_which_answers_at_the_start_cannot_serve(sysfs: Path) -> None:
    RaplTree.two_sockets(sysfs)
    faults = Faults()
    faults.errno = dict.fromkeys(["intel-rapl:0", "intel-rapl:1", "rapl:0:0", "rapl:1:0"], errno.EIO)
    with pytest.raises(MeterUnavailable, match="Input/output error"):
        PowercapMeter(sysfs, read_file=faults)


def test_a_denied_counter_says_how_to_mend_it(sysfs: Path) -> None:
    RaplTree.two_sockets(sysfs)

    def deny(path: str) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    with pytest.raises(MeterUnavailable, match=r"energy_uj is denied .*CAP_DAC_READ_SEARCH") as raised:
        PowercapMeter(sysfs, open_file=deny)
    assert "\n" not in str(raised.value)


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """One that other users may enter, as they may not pytest's."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def test_an_unprivileged_process_is_denied_by_the_files_mode(public_directory: Path) -> None:
    RaplTree.two_sockets(public_directory / "sys")
    script = (
        "import os, pathlib\n"
        "from estimator.errors import MeterUnavailable\n"
        "from estimator.meters.powercap import PowercapMeter\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        f"try: PowercapMeter(pathlib.Path({str(public_directory / 'sys')!r}))\n"
        "except MeterUnavailable as error: print(error)\n"
    )
    if os.geteuid() != 0:
        for file in public_directory.glob("sys/devices/**/energy_uj"):
            file.chmod(0)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "is denied" in done.stdout


def test_close_leaves_no_descriptor_open(sysfs: Path) -> None:
    tree = RaplTree.two_sockets(sysfs)
    before = open_descriptors()
    meter = PowercapMeter(sysfs)
    for _ in range(3):
        tree.remove("intel-rapl:1")
        meter.read()
        tree.restore("intel-rapl:1")
        for _ in range(4):
            meter.read()
    assert open_descriptors() == before + 4
    meter.close()
    assert open_descriptors() == before


def test_zones_are_numbered_in_hexadecimal(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    for number in range(16):
        tree.add_zone(f"intel-rapl:{number:x}", f"package-{number}")
        tree.add_zone(f"intel-rapl:{number:x}:0", "dram")
    assert zones(PowercapMeter(sysfs).read()) == sorted(
        [(zone, number) for zone in ("dram", "package") for number in range(16)], key=str
    )


def test_a_psys_of_a_second_package_is_a_psys(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "psys")
    tree.add_zone("intel-rapl:1", "psys-1")
    assert zones(PowercapMeter(sysfs).read()) == [("psys", None), ("psys", None)]


@pytest.mark.parametrize(
    ("constraints", "watts"),
    [
        ({}, None),
        ({"0_name": "long_term", "0_max_power_uw": "15000000", "0_power_limit_uw": "25000000"}, 60.0),
        (
            {
                "0_name": "long_term",
                "0_max_power_uw": "15000000",
                "1_name": "short_term",
                "1_power_limit_uw": "64000000",
            },
            96.0,
        ),
        (
            {
                "0_name": "long_term",
                "0_max_power_uw": "125000000",
                "0_power_limit_uw": "4095000000",
                "1_name": "short_term",
                "1_power_limit_uw": "4095000000",
            },
            500.0,
        ),
        ({"0_name": "long_term", "0_max_power_uw": "0", "0_power_limit_uw": "4095000000"}, None),
    ],
)
def test_what_a_zone_can_draw_stands_in_its_constraints(
    sysfs: Path, constraints: dict[str, str], watts: float | None
) -> None:
    zone = RaplTree(sysfs).add_zone("intel-rapl:0", "package-0")
    for name, text in constraints.items():
        (zone / f"constraint_{name}").write_text(text + "\n")
    assert [each.most_watts for each in scan(sysfs / "class/powercap").zones] == [watts]


def _dangling(root: Path) -> None:
    for name in ("intel-rapl", "intel-rapl:0"):
        (root / name).symlink_to(f"../../devices/virtual/powercap/intel-rapl/{name}")


def _one_zone(root: Path) -> None:
    (root / "energy_uj").write_text("5\n")


@pytest.mark.parametrize(
    ("lay_out", "mend"),
    [
        (_dangling, "mount the host's /sys/devices/virtual/powercap"),
        (_one_zone, "name the directory that holds all of them"),
        (lambda _: None, "it is empty"),
    ],
)
def test_a_tree_without_zones_says_what_to_mount(
    tmp_path: Path, lay_out: Callable[[Path], None], mend: str
) -> None:
    lay_out(tmp_path)
    with pytest.raises(MeterUnavailable, match=re.escape(mend)):
        PowercapMeter(powercap=tmp_path)


def test_a_zone_that_comes_for_the_first_time_is_found(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0")
    meter = PowercapMeter(sysfs)
    tree.add_zone("intel-rapl:1", "package-1")
    tree.add_zone("intel-rapl-mmio:0", "package-0")  # the same counter once more
    found = [zones(meter.read()) for _ in range(15)]
    assert found[0] == [("package", 0)]
    assert found[-1] == [("package", 0), ("package", 1)]


def test_a_zone_that_was_not_asked_for_does_not_come_in_the_place_of_one_that_was(sysfs: Path) -> None:
    tree = RaplTree.two_sockets(sysfs)
    meter = PowercapMeter(sysfs, zones=["dram"], rescan_reads=1)
    tree.remove("intel-rapl:1:0")
    meter.read()
    tree.rename("intel-rapl:1:0", "uncore")
    tree.restore("intel-rapl:1:0")
    assert [zones(meter.read()) for _ in range(3)] == [[("dram", 0)]] * 3


def test_another_zone_in_the_place_between_two_reads_is_not_read_under_the_old_name(sysfs: Path) -> None:
    tree = RaplTree.two_sockets(sysfs)
    meter = PowercapMeter(sysfs, rescan_reads=1)
    tree.remove("intel-rapl:1:0")
    tree.rename("intel-rapl:1:0", "uncore")
    tree.restore("intel-rapl:1:0")
    assert ("dram", 1) not in zones(meter.read())
    assert ("uncore", 1) in zones(meter.read())


def test_what_is_drawn_while_a_read_blocks_belongs_to_the_time_up_to_its_end(sysfs: Path) -> None:
    tree, now = RaplTree(sysfs), [0]
    tree.add_zone("intel-rapl:0", "package-0")
    waits = [0, 0, 4]

    def read(descriptor: int) -> bytes:
        seconds = waits.pop(0)
        now[0] += seconds * 10**9
        tree.advance("intel-rapl:0", 10 * seconds)
        return read_file(descriptor)

    energy = MeteredEnergy(PowercapMeter(sysfs, clock=lambda: now[0], read_file=read))
    energy.measure(ANY_USAGE)
    now[0] += 10**9
    tree.advance("intel-rapl:0", 10)
    (told,) = energy.measure(ANY_USAGE)
    assert (told.joules, told.interval_seconds) == (50, 5)


@pytest.mark.parametrize("vendor", ["AuthenticAMD", "GenuineIntel"])
def test_amds_core_is_one_cores_and_left_out(sysfs: Path, vendor: str) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0", 5, AMD_RANGE_UJ)
    tree.add_zone("intel-rapl:0:0", "core", 6, AMD_RANGE_UJ)
    meter = PowercapMeter(sysfs, vendor=vendor)
    is_amd = vendor == "AuthenticAMD"
    assert zones(meter.read()) == ([("package", 0)] if is_amd else [("core", 0), ("package", 0)])
    assert ("intel-rapl:0:0 is left out: on AMD" in meter.left_out) == is_amd
    assert zones([each for _ in range(20) for each in meter.read()]).count(("core", 0)) == (
        0 if is_amd else 20
    )


def test_amds_core_alone_is_no_meter_and_says_why(sysfs: Path) -> None:
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0", 5, AMD_RANGE_UJ)
    tree.add_zone("intel-rapl:0:0", "core", 6, AMD_RANGE_UJ)
    with pytest.raises(MeterUnavailable, match="on AMD, core is the energy of one core"):
        PowercapMeter(sysfs, ["core"], vendor="AuthenticAMD")
