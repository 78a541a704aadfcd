from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from estimator.errors import MeterUnavailable
from estimator.meters.boards import BoardPower, platform_labels
from estimator.meters.ipmi import IpmiMeter, open_device

SECOND = 10**9


def response(watts: int, stamp: int = 0, state: int = 0x40, code: int = 0) -> bytes:
    """As the kernel hands on DCMI's Get Power Reading."""
    return struct.pack("<BBHHHHIIB", code, 0xDC, watts, 5, 999, watts, stamp, 1000, state)


class Bmc:
    """Answers as `says` does, by the second."""

    path = Path("/dev/ipmi0")

    def __init__(self, says: Callable[[int], bytes]) -> None:
        self.says, self.seconds, self.asked, self.is_closed = says, 0, 0, False
        self.shown = BoardPower()
        self.meter = IpmiMeter(self, 5.0, self.shown, clock=lambda: (1000 + self.seconds) * SECOND)

    def ask(self, netfn: int, command: int, data: bytes) -> bytes:
        assert (netfn, command, data) == (0x2C, 0x02, b"\xdc\x01\x00\x00")
        self.asked += 1
        return self.says(self.seconds)

    def close(self) -> None:
        self.is_closed = True


def refused(answer: bytes) -> str:
    with pytest.raises(MeterUnavailable) as caught:
        Bmc(lambda _: answer).meter.read()
    return str(caught.value)


def test_watts_are_summed_up_and_the_bounds_hold_the_truth() -> None:
    bmc = Bmc(lambda second: response(300 if second < 30 else 500, stamp=second + 1))
    readings = []
    for bmc.seconds in range(0, 65, 5):
        readings += bmc.meter.read()
    joules, spread = readings[-1].energy_uj / 1e6, readings[-1].spread_uj / 1e6
    assert len(readings) == 13
    assert joules - (300 * 30 + 500 * 30) == spread == 100 * 5  # it rose within five seconds
    assert readings[-1].is_integrated
    assert not readings[-1].can_be_resumed


def test_what_the_bmc_has_not_measured_anew_is_no_reading() -> None:
    bmc = Bmc(lambda second: response(300, stamp=1 + second // 20))
    told = []
    for bmc.seconds in range(0, 60, 5):
        told.append(len(bmc.meter.read()))
    assert told == [1, 0, 0, 0] * 3
    stampless = Bmc(lambda _: response(300))
    assert [len(stampless.meter.read()) for stampless.seconds in range(3)] == [1, 1, 1]


def test_its_watts_are_shown_with_the_device_for_a_bmc() -> None:
    bmc = Bmc(lambda _: response(245))
    bmc.meter.read()
    (board,) = bmc.shown.now()
    assert (board.source, board.bmc_id, board.watts) == ("ipmi", "ipmi0", 245)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\xc1", "knows no DCMI power readings"),
        (b"\xd2", "does not answer"),
        (b"\xd4", "may not ask"),
        (b"\x80", "refused"),
        (b"", "failed"),
        (b"\x00\xdc\x01", "wanted 19 bytes"),
        (b"\x00" * 19, "wanted 19 bytes"),
        (response(300, state=0), "does not measure power"),
        (response(0), "0 W"),
    ],
)
def test_what_is_no_power_is_told_with_the_device(answer: bytes, said: str) -> None:
    assert refused(answer).startswith("/dev/ipmi0: no power from the BMC: ")
    assert said in refused(answer)


def test_a_power_that_cannot_be_is_told_and_the_next_one_counts() -> None:
    bmc = Bmc(lambda second: response(65_535 if second == 5 else 300))
    bmc.meter.read()
    bmc.seconds = 5
    with pytest.raises(MeterUnavailable, match="65535 W"):
        bmc.meter.read()
    bmc.seconds = 10
    assert bmc.meter.read()[0].energy_uj == 3000 * 10**6


def test_a_hole_is_a_gap_and_not_a_straight_line() -> None:
    bmc = Bmc(lambda _: response(300))
    bmc.meter.read()
    bmc.seconds = 600
    (reading,) = bmc.meter.read()
    assert reading.energy_uj == 0
    assert [error.vanished for error in bmc.meter.errors] == [True]


def test_what_the_kernel_refuses_is_told_in_its_words() -> None:
    def fails(_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(MeterUnavailable, match="no power from the BMC: Input/output error"):
        Bmc(fails).meter.read()


def test_a_device_that_is_not_there_or_is_none_is_told_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(MeterUnavailable, match="ipmi_devintf"):
        open_device(tmp_path / "ipmi0")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MeterUnavailable, match="cannot be opened"):
        open_device(tmp_path / "folder")


def test_a_file_that_is_no_ipmi_device_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ipmi0"
    file.write_bytes(b"garbage")
    meter = IpmiMeter(open_device(file), 5.0)
    with pytest.raises(MeterUnavailable, match="Inappropriate ioctl"):
        meter.read()
    meter.close()


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ("/dev/ipmi0", ("ipmi", "ipmi0", "")),
        ("redfish/rack/7/System.Embedded.1", ("redfish", "rack/7", "System.Embedded.1")),
        (
            "/sys/class/hwmon/hwmon3/power1_average",
            ("hwmon", "", "/sys/class/hwmon/hwmon3/power1_average"),
        ),
        ("model", ("", "", "")),
    ],
)
def test_what_a_platform_zone_is_labelled(path: str, labels: tuple[str, str, str]) -> None:
    assert platform_labels(path) == labels
