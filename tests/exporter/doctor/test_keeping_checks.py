"""What the doctor says of the directories in which counts outlive podjoule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from exporter.configuration.config import Config
from exporter.configuration.guest_options import Vm
from exporter.configuration.option_tree import Ebpf, State
from exporter.configuration.otlp_options import Otlp
from exporter.doctor.doctor import examine
from exporter.doctor.finding import Machine
from exporter.doctor.guest_checks import check_guests
from exporter.doctor.keeping_checks import check_pins, check_state


def test_elsewhere_than_on_a_bpffs_the_mend_is_a_mount(tmp_path: Path) -> None:
    check = check_pins(tmp_path / "not/there")
    assert (check.status, check.required) == ("warn", False)
    assert f"{tmp_path} is not on a bpffs" in check.found
    assert "mount -t bpf bpf /sys/fs/bpf" in check.mend


def test_a_state_directory_is_one_that_can_be_made(tmp_path: Path) -> None:
    assert check_state(tmp_path / "new/one").ok
    (tmp_path / "file").write_text("")
    assert check_state(tmp_path / "file/below").status == "warn"


def test_a_directory_for_guests_is_one_that_can_be_made(tmp_path: Path) -> None:
    assert check_guests(tmp_path / "new/one", Path("/proc")).ok
    (tmp_path / "file").write_text("")
    check = check_guests(tmp_path / "file/below", Path("/proc"))
    assert (check.status, check.required) == ("warn", False)


def test_only_what_is_asked_for_is_checked(tmp_path: Path) -> None:
    plain = {check.name for check in examine(Machine(), Config())}
    asked = replace(Config(), ebpf=Ebpf(pin=tmp_path), state=State(tmp_path), otlp=Otlp("http://127.0.0.1:9"))
    asked = replace(asked, vm=Vm(tmp_path))
    assert {check.name for check in examine(Machine(), asked)} - plain == {"pins", "state", "guests", "otlp"}
