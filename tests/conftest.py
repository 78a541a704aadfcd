"""What tests need from the machine, and when a skip is a failure.

A test that skips says what was missing. With FORBID_SKIPS=1, as .ci/run sets it where there is root and BTF,
a skipped test marked live or e2e fails; a skip for want of hardware (PMU, RAPL) stays one, since no set-up
mends it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

DEMANDING = ("live", "e2e")
HARDWARE = "hardware: "
_TESTS = Path(__file__).parent


def skip_for_hardware(what: str) -> None:
    """Skip for want of hardware: the one reason that FORBID_SKIPS lets pass."""
    pytest.skip(HARDWARE + what)


@pytest.fixture
def require_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def require_root_bpf(require_root: None) -> None:
    """Root, BTF, libbpf and a built CO-RE object; says which is missing."""
    from exporter import probes
    from exporter.check import Machine

    machine = Machine()
    if failed := machine.try_bpf():
        pytest.skip(f"needs bpf(): {os.strerror(failed)}")
    if not os.access("/sys/kernel/btf/vmlinux", os.R_OK):
        pytest.skip("needs BTF: no /sys/kernel/btf/vmlinux")
    if reason := probes.try_library("libbpf.so.1"):
        pytest.skip(f"needs libbpf 1: {reason}")
    if not machine.core_object.exists():
        pytest.skip(f"needs the CO-RE object: make ebpf/{machine.core_object.name}")


@pytest.fixture
def require_bcc(require_root: None) -> None:
    """Root, bcc and kernel headers to compile against."""
    from exporter.check import Machine
    from exporter.loader_checks import check_bcc

    check = check_bcc(Machine(environ=os.environ), needed=True)
    if not check.ok:
        pytest.skip(f"needs bcc: {check.found}; {check.mend}")


@pytest.fixture
def require_pmu() -> None:
    from exporter.probes import try_events

    missing = [name for name, failed in try_events(Path("/sys")).items() if failed]
    if missing:
        skip_for_hardware(f"no counter for {', '.join(missing)}")


@pytest.fixture
def require_rapl() -> None:
    if not list(Path("/sys/class/powercap").glob("*/energy_uj")):
        skip_for_hardware("no RAPL zone in /sys/class/powercap")


@pytest.fixture
def require_command() -> Callable[[str], str]:
    """A function from a command's name to its path; it skips where there is none."""

    def find(name: str) -> str:
        found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if found is None:
            pytest.skip(f"needs the command {name}: .ci/setup test installs it")
        return found

    return find


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if any(item.get_closest_marker(name) for name in DEMANDING) and not hasattr(report, "wasxfail"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if any(collector.path.is_relative_to(_TESTS / name) for name in DEMANDING):
        _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if os.environ.get("FORBID_SKIPS") == "1" and report.skipped and HARDWARE not in reason:
        report.outcome = "failed"
        report.longrepr = f"a skip is a failure here (FORBID_SKIPS=1): {reason.removeprefix('Skipped: ')}"
