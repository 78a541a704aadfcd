"""Each capability buys what docs/security.md says, and is given up once it has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.capabilities import mask_of
from exporter.names.workloads import identify
from tests.e2e.servers import Podjoule
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live.rights import NOBODY, open_folder, run_confined
from tests.live.sandbox import BUSY, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

PROGRAMS = ("BPF", "PERFMON")
ALL = (*PROGRAMS, "DAC_READ_SEARCH")
KEPT = mask_of(["DAC_READ_SEARCH"])

# The command line with software events in the PMU's stead: they take the same capability.
STAND_INS = """
import sys
from ebpf import program
from ebpf.perf_events import TYPE_SOFTWARE, Event
names = ("cycles", "instructions", "cache_misses")
program.HARDWARE = {name: Event(TYPE_SOFTWARE, config) for name, config in zip(names, (0, 2, 5))}
from exporter.commands.cli import main
sys.exit(main())
"""


@pytest.fixture
def sysfs() -> Iterator[Path]:
    """A fake sysfs whose energy_uj are root's alone, as the kernel's are."""
    with open_folder() as folder:
        RaplTree.two_sockets(folder / "sys")
        give_energy_to(folder / "sys", 0)
        yield folder / "sys"


def give_energy_to(sysfs: Path, uid: int) -> None:
    for energy in sysfs.rglob("energy_uj"):
        energy.chmod(0o400)
        os.chown(energy, uid, uid)


def snapshot(
    sysfs: Path, capabilities: tuple[str, ...], uid: int = 0, loader: str = "auto"
) -> subprocess.CompletedProcess[str]:
    options = ["--duration=500ms", "--format=json", f"--host.sysfs={sysfs}", f"--ebpf.loader={loader}"]
    return run_confined(["-c", STAND_INS, "snapshot", *options], capabilities, uid)


def assert_measured(done: subprocess.CompletedProcess[str], *, by_programs: bool, by_meter: bool) -> None:
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    answer = json.loads(done.stdout)
    assert sum(row["cpu_seconds"] for row in answer["workloads"]) > 0
    counted = [row["cycles"] is not None for row in answer["workloads"]]
    assert all(counted) if by_programs else not any(counted)
    assert ("counting CPU time from cpu.stat" in done.stderr) is not by_programs
    assert answer["source"] == ("rapl" if by_meter else "model")


@pytest.mark.parametrize("capabilities", [ALL, PROGRAMS, ("SYS_ADMIN",)], ids=",".join)
def test_root_counts_by_programs_and_reads_its_own_energy(sysfs: Path, capabilities: tuple[str, ...]) -> None:
    done = snapshot(sysfs, capabilities)
    assert_measured(done, by_programs=True, by_meter=True)
    assert "trying the next source" not in done.stderr


@pytest.mark.parametrize(
    ("capabilities", "missing"),
    [
        (("BPF", "DAC_READ_SEARCH"), "CAP_PERFMON"),
        (("PERFMON", "DAC_READ_SEARCH"), "CAP_BPF"),
        (("DAC_READ_SEARCH",), "CAP_BPF, CAP_PERFMON"),
        ((), "CAP_BPF, CAP_PERFMON"),
    ],
)
@pytest.mark.parametrize("uid", [0, NOBODY])
def test_without_either_the_programs_go_and_nothing_else(
    sysfs: Path, capabilities: tuple[str, ...], missing: str, uid: int
) -> None:
    done = snapshot(sysfs, capabilities, uid)
    assert_measured(done, by_programs=False, by_meter=uid == 0 or bool(capabilities))
    line = next(line for line in done.stderr.splitlines() if "core:" in line)
    assert f"needs CAP_BPF and CAP_PERFMON (or root); not effective here: {missing};" in line
    assert "bcc:" not in done.stderr, "what one loader may not, the other may not either"


def test_without_perfmon_the_events_are_named(sysfs: Path) -> None:
    done = snapshot(sysfs, ("BPF",))
    assert "not counted: cycles, instructions, cache misses (Permission denied: needs CAP_PERFMON" in (
        done.stderr
    )


@pytest.mark.parametrize(("owner", "uid"), [(NOBODY, 0), (0, NOBODY)])
def test_energy_of_somebody_else_takes_dac_read_search(sysfs: Path, owner: int, uid: int) -> None:
    give_energy_to(sysfs, owner)
    without = snapshot(sysfs, PROGRAMS, uid)
    assert_measured(without, by_programs=True, by_meter=False)
    assert "energy_uj is denied" in without.stderr
    assert "CAP_DAC_READ_SEARCH" in without.stderr
    assert_measured(snapshot(sysfs, ALL, uid), by_programs=True, by_meter=True)


@pytest.mark.usefixtures("require_bcc")
def test_bcc_takes_the_same_and_says_so(sysfs: Path) -> None:
    assert_measured(snapshot(sysfs, PROGRAMS, loader="bcc"), by_programs=True, by_meter=True)
    for missing in PROGRAMS:
        held = tuple(name for name in PROGRAMS if name != missing)
        refused = snapshot(sysfs, held, loader="bcc")
        assert refused.returncode == 2
        assert refused.stderr.strip().splitlines()[-1].endswith(f"not effective here: CAP_{missing}")


@pytest.mark.parametrize("capabilities", [PROGRAMS, ("BPF",), ()], ids=lambda held: ",".join(held) or "none")
def test_the_doctor_says_the_same(sysfs: Path, capabilities: tuple[str, ...]) -> None:
    arguments = ["-m", "exporter.commands.cli", "doctor", "--format=json", f"--host.sysfs={sysfs}"]
    done = run_confined(arguments, capabilities)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    missing = [f"CAP_{name}" for name in PROGRAMS if name not in capabilities]
    found = checks["capabilities"]["found"]
    assert checks["bpf()"]["status"] == ("warn" if missing else "ok")
    assert (f"without {', '.join(missing)}: CPU time from cpu.stat alone" in found) is bool(missing)
    assert done.returncode == 0, "cpu.stat serves"


# The command line under a seccomp filter that answers EPERM to bpf(), as runtimes' profiles do.
# Source: include/uapi/linux/filter.h, seccomp.h.
WITHOUT_BPF = """
import ctypes, struct, sys
from exporter.doctor.probes import _BPF_SYSCALL
from exporter.commands.cli import main
import platform
code = [(0x20, 0, 0, 0), (0x15, 0, 1, _BPF_SYSCALL[platform.machine()]), (0x06, 0, 0, 0x00050001),
        (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
filter = ctypes.create_string_buffer(struct.pack("H6xQ", len(code), ctypes.addressof(program)))
assert ctypes.CDLL(None).prctl(22, ctypes.c_ulong(2), filter) == 0
sys.exit(main())
"""


def test_a_refusal_by_seccomp_is_not_taken_for_a_missing_capability(sysfs: Path) -> None:
    done = run_confined(
        ["-c", WITHOUT_BPF, "snapshot", "--duration=500ms", "--format=json", f"--host.sysfs={sysfs}"], ALL
    )
    assert_measured(done, by_programs=False, by_meter=True)
    assert "all are effective here: a seccomp profile, a user namespace or kernel lockdown" in done.stderr


READ_PROCESS = """
import sys
from pathlib import Path
from exporter.books.processes import read_process
from exporter.names.workloads import KERNEL
print(read_process(Path("/proc"), int(sys.argv[1]), KERNEL).exe)
"""


@pytest.mark.parametrize("uid", [0, NOBODY])
def test_the_executable_of_another_process_takes_sys_ptrace(uid: int) -> None:
    with subprocess.Popen(["sleep", "60"], user=uid, group=uid) as sleeper:
        try:
            arguments = ["-c", READ_PROCESS, str(sleeper.pid)]
            allowed = run_confined(arguments, (*PROGRAMS, "SYS_PTRACE"))
            without = run_confined(arguments, PROGRAMS)
        finally:
            sleeper.kill()
    assert allowed.stdout.strip().endswith("sleep"), allowed.stderr
    assert without.stdout.strip() == ""
    assert without.returncode == 0, without.stderr


def capabilities_of(pid: int) -> set[tuple[int, int, int, str]]:
    """Permitted, effective and bounding sets, and NoNewPrivs, of every thread."""
    found = set()
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        told = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        found.add((*(int(told[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")), told["NoNewPrivs"]))
    return found


GIVE_UP_AND_EXECUTE = """
import os
from exporter.tick.privileges import give_up
give_up(frozenset())
os.execv("/bin/grep", ["grep", "-E", "^Cap(Prm|Eff|Inh|Amb)", "/proc/self/status"])
"""


@pytest.mark.parametrize("capabilities", [ALL, ("SETPCAP", *ALL)], ids=",".join)
@pytest.mark.parametrize("uid", [0, NOBODY])
def test_executing_a_program_brings_nothing_back(capabilities: tuple[str, ...], uid: int) -> None:
    done = run_confined(["-c", GIVE_UP_AND_EXECUTE], capabilities, uid)
    assert {line.split()[1] for line in done.stdout.splitlines()} == {"0" * 16}, done.stderr


def value(text: str, *words: str) -> float:
    """The one series that has all the words."""
    rows = [line for line in text.splitlines() if line[:1] != "#" and all(word in line for word in words)]
    assert len(rows) == 1, rows
    return float(rows[0].rpartition(" ")[2])


@pytest.mark.parametrize("version", hierarchies())
@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_with_everything_given_up_it_goes_on_measuring(loader: str, version: str, tmp_path: Path) -> None:
    tree = RaplTree.two_sockets(tmp_path / "sys")
    podjoule = Podjoule(
        "--monitor.interval=200ms",
        f"--ebpf.loader={loader}",
        f"--ebpf.cgroup-hierarchy={version}",
        f"--host.sysfs={tmp_path}/sys",
        log=tmp_path / "podjoule.log",
    )
    with podjoule, cgroup("given-up.service") as group:
        assert capabilities_of(podjoule.process.pid) == {(KEPT, KEPT, KEPT, "1")}
        busy = group.python(BUSY, cpu=0)
        for i in range(30):
            churned = group.child(f"short-{i}").make()
            tree.advance_all(1)
            if i == 10:
                tree.remove("intel-rapl:1")
            if i == 15:
                tree.restore("intel-rapl:1")
            time.sleep(0.1)
            churned.remove()
        group.wait_until_used(version, 0.3)
        os.kill(busy.pid, signal.SIGSTOP)
        time.sleep(1.2)  # several ticks, also on a machine that is busy
        used_seconds = group.used_ns(version) / 1e9
        text = podjoule.metrics()
        stop(busy)
    counted = value(text, "podjoule_cgroup_cpu_seconds_total{", f'cgroup="{identify(group.path).id}"')
    assert counted == pytest.approx(used_seconds, rel=0.01, abs=0.02)
    assert value(text, "kepler_node_cpu_joules_total{", 'intel-rapl:1"') > 0
    log = podjoule.log.read_text()
    assert "capabilities given up; kept: CAP_DAC_READ_SEARCH\n" in log
    assert "error" not in log


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: us}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: us, user: {token: none}}]
"""


def test_the_threads_that_talk_to_others_have_none_either(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG)
    with Podjoule(f"--kube.config={file}", log=tmp_path / "podjoule.log") as podjoule:
        assert capabilities_of(podjoule.process.pid) == {(KEPT, KEPT, KEPT, "1")}
        deadline = time.monotonic() + 10
        while "the API server" not in podjoule.log.read_text():
            assert time.monotonic() < deadline, "the test's own premise: it is asked"
            time.sleep(0.05)
    assert "started too early" not in podjoule.log.read_text()


def test_a_configuration_of_somebody_else_is_reread(tmp_path: Path) -> None:
    file = tmp_path / "podjoule.yaml"
    file.write_text("monitor: {interval: 200ms}\n")
    file.chmod(0o600)
    os.chown(file, NOBODY, NOBODY)
    with Podjoule(f"--config.file={file}", log=tmp_path / "podjoule.log") as podjoule:
        podjoule.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert capabilities_of(podjoule.process.pid) == {(KEPT, KEPT, KEPT, "1")}
    assert "configuration reread" in podjoule.log.read_text()


WRITE_STATE = """
import sys
from pathlib import Path
from exporter.configuration.config import Config
from exporter.tick.privileges import give_up, still_needed
from exporter.configuration.option_tree import State
config = Config(state=State(dir=Path(sys.argv[1])))
give_up(still_needed(config) - set(sys.argv[2:]))
(config.state.dir / "calibration.json").write_text("{}")
"""


def test_a_state_directory_of_somebody_else_is_written_to(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, NOBODY, NOBODY)
    arguments = ["-c", WRITE_STATE, str(state)]
    held = ("DAC_OVERRIDE", *ALL)
    refused = run_confined([*arguments, "DAC_OVERRIDE"], held)
    assert "PermissionError" in refused.stderr, "the test's own premise"
    done = run_confined(arguments, held)
    assert done.returncode == 0, done.stderr
    assert (state / "calibration.json").exists()
