"""What hardware threads share and how long a socket is awake, against a trace of every switch.

This machine's CPUs need not share a core: programs go by what user space tells them, and a tree tells it so.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import pytest

from ebpf.btf import OWN_TYPES
from ebpf.counters import AWAKE_NS, SHARED_NS, CounterSource
from ebpf.program import ProgramOptions
from tests.conftest import skip_for_hardware
from tests.live.counting import counters_of
from tests.live.lesser_kernels import open_named
from tests.live.perf import STAND_INS
from tests.live.sandbox import BUSY, Cgroup, cgroup, hierarchies, stop
from tests.live.sharing import Found, Phases, shared_by
from tests.live.switch_program import traced
from tests.live.topology_tree import write_tree

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

LOADERS = ("core", "bcc", "core by copy")
# A virtual machine's CPU is taken away for milliseconds, also between the programs' looks at one switch.
WINDOWS, WINDOW_SECONDS = 3, 1.5
RUNNING = {
    "phases of 200 us": [Phases(0, 0.0005, 0.0002), Phases(1, 0.0005, 0.0002, 0.0001)],
    "phases of 5 ms": [Phases(0, 0.013, 0.005), Phases(1, 0.011, 0.005)],
    "phases of 100 ms": [Phases(0, 0.2, 0.1), Phases(1, 0.2, 0.1, 0.05)],
    "one alone": [Phases(0, 0.013, 0.005)],
    "both idle": [],
}
# At a switch every hundred microseconds three programs, one after the other, measure each other.
ONE_BY_ONE = {"phases of 200 us"}
SHARING = {"shared_ns", "shared_cycles"}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ProgramOptions:
    if not Path("/sys/devices/system/cpu/cpu1").exists():
        skip_for_hardware("this machine has one CPU")
    folder = tmp_path_factory.mktemp("sharing")
    tree = write_tree(folder / "sys", [[0, 1]])
    btf = Path(shutil.copy(OWN_TYPES, folder / "this.btf"))
    return ProgramOptions(hierarchies()["v2"], sysfs=tree, events=STAND_INS, btf=btf)


@pytest.fixture(scope="module", params=list(RUNNING))
def found(request: pytest.FixtureRequest, options: ProgramOptions) -> dict[str, Sequence[Found]]:
    """What every loader's program counted of one load, in each window."""
    load = request.param
    at_once = [[loader] for loader in LOADERS] if load in ONE_BY_ONE else [LOADERS]
    return {
        loader: windows
        for loaders in at_once
        for loader, windows in _counted(loaders, options, RUNNING[load]).items()
    }


def _counted(
    loaders: Sequence[str], options: ProgramOptions, running: Sequence[Phases]
) -> dict[str, Sequence[Found]]:
    with contextlib.ExitStack() as stack:
        sources = {
            loader: stack.enter_context(contextlib.closing(open_named(loader, options))) for loader in loaders
        }
        windows = [
            shared_by(traced, sources, running, {0: 1, 1: 0}, {0: (0, 1)}, WINDOW_SECONDS)
            for _ in range(WINDOWS)
        ]
    return {loader: [window[loader] for window in windows] for loader in loaders}


@pytest.mark.parametrize("loader", LOADERS)
def test_time_that_is_shared_is_as_traced_within_two_percent(
    found: dict[str, Sequence[Found]], loader: str
) -> None:
    assert all(window.available >= SHARING for window in found[loader])
    for same_loop in zip(*(window.loops for window in found[loader]), strict=True):
        assert all(loop.cpu_ns > 0.03e9 for loop in same_loop), "the load hardly ran"
        assert median(loop.off_points for loop in same_loop) <= 2, same_loop


@pytest.mark.parametrize("loader", LOADERS)
def test_a_socket_is_awake_as_traced_within_two_percent(
    found: dict[str, Sequence[Found]], loader: str
) -> None:
    assert all(AWAKE_NS in window.available for window in found[loader])
    sockets = [window.awake[0] for window in found[loader]]
    assert median(socket.off_percent for socket in sockets) <= 2, sockets


@contextlib.contextmanager
def two_loops() -> Iterator[Cgroup]:
    """A cgroup whose loop has CPU 0 while another's has CPU 1."""
    with cgroup("here") as here, cgroup("beside") as beside:
        processes = [here.python(BUSY, cpu=0), beside.python(BUSY, cpu=1)]
        try:
            yield here
        finally:
            stop(*processes)


def shared_ratio(source: CounterSource, group: Cgroup) -> float:
    """Of the CPU time of half a second, what was shared."""
    before = counters_of(source.read(), group.cgroup_id("v2"))
    time.sleep(0.5)
    after = counters_of(source.read(), group.cgroup_id("v2"))
    assert after is not None
    cpu_ns, shared_ns = (after - (0 if before is None else before))[[0, SHARED_NS]]
    return float(shared_ns / cpu_ns)


@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_threads_that_go_and_come_are_followed(tmp_path: Path, loader: str) -> None:
    tree = write_tree(tmp_path, [[0], [1]])
    options = ProgramOptions(hierarchies()["v2"], sysfs=tree, events=STAND_INS)
    with contextlib.closing(open_named(loader, options)) as source, two_loops() as group:
        assert not SHARING & source.read().available, "no core has two threads"
        assert shared_ratio(source, group) == 0
        write_tree(tree, [[0]])
        source.read()
        write_tree(tree, [[0, 1]])
        assert source.read().available >= SHARING
        assert shared_ratio(source, group) > 0.9
        write_tree(tree, [[0]])  # SMT off: its sibling, as far as is told, is gone
        assert source.read().available >= SHARING, "0 of it is the truth from now on"
        assert shared_ratio(source, group) == 0


def test_awake_time_stays_with_its_socket_where_cpus_move(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, [[0], [1]], {0: 0, 1: 7})
    options = ProgramOptions(hierarchies()["v2"], sysfs=tree)
    with contextlib.closing(open_named("core", options)) as source, two_loops():
        source.read()
        time.sleep(0.3)
        first = source.read().awake_ns
        write_tree(tree, [[0]])
        source.read()
        write_tree(tree, [[0], [1]], {0: 0, 1: 3})
        before = source.read().awake_ns
        time.sleep(0.3)
        after = source.read().awake_ns
    assert first.keys() == {0, 7}
    assert after.keys() == {0, 3, 7}
    assert after[7] == before[7] > 0.2e9
    assert after[3] - before[3] > 0.2e9


def test_what_was_awake_is_taken_over_with_the_pins(tmp_path: Path, pins: Path) -> None:
    tree = write_tree(tmp_path, [[0, 1]], {0: 5, 1: 5})
    options = ProgramOptions(hierarchies()["v2"], sysfs=tree, pin=pins)
    with two_loops():
        with contextlib.closing(open_named("core", options)) as source:
            time.sleep(0.3)
            first = source.read()
        time.sleep(0.3)
        with contextlib.closing(open_named("core", options)) as source:
            second = source.read()
    grown = second.awake_ns[5] - first.awake_ns[5]
    assert grown == pytest.approx(second.monotonic_ns - first.monotonic_ns, rel=0.02, abs=8e6)
