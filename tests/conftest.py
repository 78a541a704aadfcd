"""What tests need from the machine, when a skip is a failure, and what is left of a run.

A test that skips says what was missing. With FORBID_SKIPS=1, as .ci/run sets it where there is root and BTF,
a skip is a failure; one for want of hardware (PMU, RAPL) stays one, since no set-up mends it. A program that
is missing makes a skip of whatever asked for it.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests import programs
from tests.e2e.cluster.binaries import LACKING

if TYPE_CHECKING:
    from tests.e2e.cluster.cluster import Cluster

ALONE = [
    Path(__file__).parent / "exporter" / room
    for room in (
        *("serving/http", "serving/security", "restarts", "names/kube/test_pod_poll.py"),
        *("names/kube/test_pod_watch.py", "tariffs/test_carbon_feed.py"),
    )
]
HARDWARE = "hardware: "
_LAST_LINES = 12
RUN = pytest.StashKey["Run"]()
COLLECTED = pytest.StashKey[dict[str, set[str]]]()
"""By test, its marks; of all that were found, also those that are not asked for now."""
COUNTED = pytest.StashKey[str | None]()
LEFT = pytest.StashKey[list[str]]()
TALLY = "PODJOULE_TEST_TALLY"
"""The variable with the file to which a part of `python -m tests` writes its counts."""

programs.refuse_unlisted()
# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


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
    from exporter.doctor import probes
    from exporter.doctor.finding import Machine

    machine = Machine()
    if failed := machine.try_bpf():
        pytest.skip(f"needs bpf(): {os.strerror(failed)}")
    if not os.access("/sys/kernel/btf/vmlinux", os.R_OK):
        pytest.skip("needs BTF: no /sys/kernel/btf/vmlinux")
    if reason := probes.try_library("libbpf.so.1"):
        pytest.skip(f"needs libbpf 1: {reason}")
    if not machine.core_object.exists():
        pytest.skip(f"needs the CO-RE object: make ebpf/kernel/{machine.core_object.name}")


@pytest.fixture
def require_bcc(require_root: None) -> None:
    """Root, bcc and kernel headers to compile against."""
    from exporter.doctor.finding import Machine
    from exporter.doctor.loader_checks import check_bcc

    check = check_bcc(Machine(environ=os.environ), needed=True)
    if not check.ok:
        pytest.skip(f"needs bcc: {check.found}; {check.mend}")


@pytest.fixture
def require_pmu() -> None:
    from ebpf.perf_events import try_events

    missing = [name for name, failed in try_events(Path("/sys")).items() if failed]
    if missing:
        skip_for_hardware(f"no counter for {', '.join(missing)}")


@pytest.fixture
def require_rapl() -> None:
    if not list(Path("/sys/class/powercap").glob("*/energy_uj")):
        skip_for_hardware("no RAPL zone in /sys/class/powercap")


@pytest.fixture
def require_command() -> Callable[[str], str]:
    """A function from a program of tests/programs.tsv to its path; the test skips where there is none."""
    return programs.program


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that is up, or one that is for these tests alone; one for all that ask for it."""
    from tests.e2e.cluster.cluster import Cluster

    found = Cluster()
    if found.is_up():
        yield found
        return
    if lacking := found.lacking():
        pytest.skip(lacking)
    try:
        found.up()
        yield found
    finally:
        found.down()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Rooms whose tests hold each other to the second; and the cluster last: while it runs, it is a load."""
    for item in items:
        if any(item.path.is_relative_to(room) for room in ALONE):
            item.add_marker("alone")
    config.stash[COLLECTED] = {item.nodeid: {mark.name for mark in item.iter_markers()} for item in items}
    items.sort(key=lambda item: "cluster" in getattr(item, "fixturenames", ()))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays to the end: no collection of garbage need look at thousands of tests."""
    gc.freeze()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Whatever this run starts gets a keeper; the workers of xdist are part of the run."""
    session.config.stash[COUNTED] = os.environ.pop(TALLY, None)  # a pytest that a test starts has none
    if not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        from tests import keeper

        folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        session.config.stash[RUN] = keeper.start(folder)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """What the body of a live test started is gone when the test is, or the test has failed."""
    try:
        yield
    finally:
        if (run := item.config.stash.get(RUN, None)) and item.get_closest_marker("live"):
            from tests import keeper

            left = run.processes_of(item.nodeid)
            keeper.kill(left)
            assert not left, f"the test left running: {left}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that leaves something behind has failed."""
    if run := session.config.stash.get(RUN, None):
        session.config.stash[LEFT] = run.left_after()
        if session.config.stash[LEFT]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(LEFT, []):
        terminalreporter.line(f"LEFT BEHIND: {line}", red=True)
    counts = _counts(terminalreporter, config)
    if file := config.stash.get(COUNTED, None):
        Path(file).write_text(json.dumps({"counts": counts, "failed": _failed(terminalreporter)}))
    elif counts["without_cluster"]:
        terminalreporter.line(left_out(counts["without_cluster"]))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(TALLY) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_FailuresAtOnce(config))


class _FailuresAtOnce:
    """In a part of `python -m tests` a failure is told as it happens: a run cut short tells it, too."""

    def __init__(self, config: pytest.Config) -> None:
        self._terminal = config.pluginmanager.get_plugin("terminalreporter")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._terminal is not None:
            self._terminal.write_line("")
            self._terminal.write_line(f"{report.when} of {report.nodeid} failed:", red=True)
            self._terminal.write_line("\n".join(report.longreprtext.splitlines()[-_LAST_LINES:]))


def left_out(tests: int) -> str:
    """What to say of the tests that had no cluster."""
    return f"{tests} tests were left out, each {LACKING}"


def _counts(reporter: pytest.TerminalReporter, config: pytest.Config) -> dict[str, int]:
    found = {name: len(reporter.getreports(name)) for name in ("passed", "skipped", "xfailed", "xpassed")}
    lacking = [report for report in reporter.getreports("skipped") if LACKING in str(report.longrepr)]
    failed = len(reporter.getreports("failed")) + len(reporter.getreports("error"))
    return {
        "passed": found["passed"] + found["xfailed"] + found["xpassed"],
        "failed": failed + bool(config.stash.get(LEFT, [])),
        "skipped": found["skipped"],
        "without_cluster": len(lacking),
    }


def _failed(reporter: pytest.TerminalReporter) -> list[str]:
    reports = [*reporter.getreports("failed"), *reporter.getreports("error")]
    return sorted({report.nodeid for report in reports})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(programs.ProgramMissing):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {call.excinfo.value}")
    if not hasattr(report, "wasxfail"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if os.environ.get("FORBID_SKIPS") == "1" and report.skipped and HARDWARE not in reason:
        report.outcome = "failed"
        report.longrepr = f"a skip is a failure here (FORBID_SKIPS=1): {reason.removeprefix('Skipped: ')}"
