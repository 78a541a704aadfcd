"""The counters, the exporter and the doctor on other kernels and on another CPU; `make kernels`.

Each machine is booted once and asked everything in that boot; see machines.PROBES.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from ebpf.version import VERSION
from tests import releases
from tests.vm import machines, table
from tests.vm.findings import (
    CPU_SLACK_NS,
    SHORT_PROCESSES,
    Answer,
    exported_error,
    instruction_errors,
    loads_of,
    outside_ns,
    percent_off,
    percent_outside,
    sums_off_percent,
    unbalanced,
)

pytestmark = [pytest.mark.e2e, pytest.mark.kernels, pytest.mark.timeout(2 * machines.LONGEST_SECONDS + 300)]

MACHINES = [machine for machine, probes in machines.PROBES.items() if "short-lived" in probes]
WITH_THREADS = ["5.10", "arm64"]
NEEDED = ("qemu-system-x86_64", "qemu-system-aarch64", "mmdebstrap", "cpio", "make", "gcc", *releases.NEEDED)
NEEDED_TO_COMPILE = ("bc", "bison", "flex", "libelf.h")
HOOKS = {
    "on_attach", "on_mkdir", "on_rename", "on_rmdir", "on_switch",
    "charge_running", "put_to_rest", "read_interrupts",
}  # fmt: skip


# Two at a time: each waits for its own clock as long as it works.
booting = ThreadPoolExecutor(2)


@functools.cache
def asked(machine: str) -> Future[dict[str, Answer]]:
    return booting.submit(machines.ask, machine)


def ask(machine: str) -> dict[str, Answer]:
    found = asked(machine).result()
    table.store(machine, found)
    return found


@functools.cache
def fetched() -> bool:
    machines.fetch()
    return True


@pytest.fixture
def needs_a_kernel_of_our_own(require_root: None, require_command: Callable[[str], str]) -> None:
    for command in (*NEEDED, *NEEDED_TO_COMPILE):
        require_command(command)
    fetched()
    machines.compile_kernel()


@pytest.fixture
def needs_the_kit(
    request: pytest.FixtureRequest, require_root: None, require_command: Callable[[str], str]
) -> None:
    for command in NEEDED:
        require_command(command)
    fetched()
    named = {
        item.callspec.params.get("machine") for item in request.session.items if hasattr(item, "callspec")
    }
    for machine in reversed(machines.PROBES):
        if machine in named:
            asked(machine)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, needs_the_kit: None) -> str:
    return str(request.param)


@pytest.fixture
def answers(machine: str) -> dict[str, Answer]:
    return ask(machine)


def test_every_probe_ran_and_left_nothing_in_the_kernel(machine: str, answers: dict[str, Answer]) -> None:
    assert list(answers) == machines.PROBES[machine], (
        f"the machine did not get to its end:\n{machines.last_words(machine)}"
    )
    for name, finding in answers.items():
        assert "error" not in finding, f"{name}: {finding['error']}"
        assert finding["left_behind"] == [], name


def test_cpu_time_agrees_with_the_kernel(answers: dict[str, Answer]) -> None:
    rows = list(loads_of(answers))
    assert {load for _, load, _ in rows} == {
        "busy", "short", "threads first", "threads second", "ping-pong ping", "ping-pong pong"
    }  # fmt: skip
    for loader, load, row in rows:
        assert row["most_ns"] > 0.1e9, f"{load} hardly ran: the load is broken"
        assert outside_ns(row) <= max(0.01 * row["most_ns"], CPU_SLACK_NS), f"{loader} {load}: {row}"
        if load.startswith("ping-pong"):
            assert row["switches"] > 500, load


def test_short_processes_were_many(answers: dict[str, Answer]) -> None:
    counting = answers.get("core") or answers["core-and-bcc"]
    # 200 a second are asked for, and reached where an amd64 machine runs alone; two share what this one has,
    # so that each counts for as long as there are enough.
    assert counting["short_processes"] >= SHORT_PROCESSES[answers["machine"]["machine"]]


def test_bcc_and_co_re_count_the_same(needs_the_kit: None) -> None:
    by = {(loader, load): row["counted_ns"] for loader, load, row in loads_of(ask("6.1"))}
    for loader, load in by:
        core, bcc = by["core", load], by["bcc", load]
        assert abs(core - bcc) <= max(0.01 * core, CPU_SLACK_NS), f"{loader} {load}: {core} and {bcc} ns"


def test_a_cgroup_that_lived_50_ms_is_counted_and_named(answers: dict[str, Answer]) -> None:
    found = answers["short-lived"]
    assert found["named"]
    assert abs(found["counted_ns"] - found["true_ns"]) <= CPU_SLACK_NS


def test_a_process_is_found_by_its_pid_whatever_namespace_one_is_in(answers: dict[str, Answer]) -> None:
    assert answers["pids"].keys() & {"v1", "v2"}
    for version in answers["pids"].keys() & {"v1", "v2"}:
        found = answers["pids"][version]
        assert found["different"] == 0
        assert found["told"] > found["processes"] / 2
        assert found["apart_pid"] < 10
        assert found["apart_is_the_same"]


@pytest.mark.parametrize("lacking", ["by_copy", "without_ring", "key_by_key"])
def test_what_a_kernel_may_lack_changes_no_count(answers: dict[str, Answer], lacking: str) -> None:
    """Played on each kernel: its verifier has to take the programs that copy, too."""
    found = answers["lesser"][lacking]
    assert abs(found["counted_ns"] - found["true_ns"]) <= CPU_SLACK_NS
    assert found["named"] is (lacking != "without_ring"), "nobody tells of a cgroup, and it is gone"


def test_events_agree_with_perf(machine: str, answers: dict[str, Answer]) -> None:
    errors = instruction_errors(answers)
    assert {"cycles", "instructions"} <= errors.keys()
    assert answers["events"]["stand_ins"] == (machine != "arm64")
    assert all(error <= 2 for error in errors.values()), errors


def test_arm64_counts_the_instructions_of_a_known_program(needs_the_kit: None) -> None:
    found = ask("arm64")["known"]
    counted, perf = found["counted"], found["perf"]
    assert found["rival_switches"] > 100
    assert counted["instructions"] >= machines.KNOWN_INSTRUCTIONS  # and what the kernel does for it
    assert percent_off(counted["instructions"], perf["instructions"]) <= 1
    assert percent_off(counted["cycles"], perf["cycles"]) <= 2


def test_arm64_cgroups_add_up_to_the_cpus_own_counter(needs_the_kit: None) -> None:
    found = ask("arm64")["known"]
    assert found["cpu1_idle_ticks"] <= 2, "the CPU idled: its counter holds more than the cgroups' work"
    for name in ("cycles", "instructions"):
        assert found["cpu1_most"][name] <= 1.01 * found["cpu1_least"][name], "the readings lie too far apart"
        assert (
            percent_outside(found["cpu1_cgroups"][name], found["cpu1_least"][name], found["cpu1_most"][name])
            <= 1
        )


def test_arm64_goes_on_counting_cycles_where_others_pin_what_the_group_needs(needs_the_kit: None) -> None:
    """With the group as it was nothing would be counted: what is left is a counter for cycles alone."""
    found = ask("arm64")["starving"]
    assert found["groups"] == [0, 1], "cycles and instructions are a group at first"
    assert found["groups_after"] == [0]
    assert percent_off(found["cycles_a_second_after"], found["cycles_a_second"]) <= 2


def test_cpu_time_stays_right_when_a_cpu_goes_and_comes_back(answers: dict[str, Answer]) -> None:
    for name in ("while_offline", "roaming", "returned"):
        row = answers["hotplug"][name]
        assert row["most_ns"] > 0.1e9
        assert outside_ns(row) <= max(0.01 * row["most_ns"], CPU_SLACK_NS), f"{name}: {row}"


def test_events_go_on_where_a_cpu_came_back(answers: dict[str, Answer]) -> None:
    found = answers["hotplug"]["cycles_after_return"]
    assert percent_off(found["counted"], found["perf"]) <= 2


def test_events_of_a_cpu_that_was_offline_at_the_start_are_counted(answers: dict[str, Answer]) -> None:
    found = answers["hotplug"]["cycles_of_a_late_cpu"]
    assert percent_off(found["counted"], found["perf"]) <= 2


def assert_as_traced(found: Answer) -> None:
    """Shares of the loops' time to two points, awake times to two percent of the window."""
    assert {"awake_ns", "shared_ns"} <= set(found["available"])
    for loop in found["loops"]:
        assert loop["cpu_ns"] > 0.1e9, "the load hardly ran"
        assert loop["off_points"] <= 2, loop
    for awake in found["awake"].values():
        assert awake["off_percent"] <= 2, awake


@pytest.mark.parametrize("machine", WITH_THREADS)
@pytest.mark.parametrize("load", ["overlap", "long phases", "alone", "idle"])
def test_what_two_threads_share_is_as_traced(needs_the_kit: None, machine: str, load: str) -> None:
    assert_as_traced(ask(machine)["sharing"]["found"][load])


@pytest.mark.parametrize("machine", ["threads"])
def test_two_sockets_with_threads_are_told_apart_whether_threads_are_on_or_off(
    needs_the_kit: None, machine: str
) -> None:
    answers = ask(machine)
    assert list(answers) == machines.PROBES[machine], machines.last_words(machine)
    probe = answers["threads"]
    assert "error" not in probe, probe["error"]
    assert probe["siblings"] == {"0": 1, "1": 0, "2": 3, "3": 2}
    for found in probe["found"].values():
        assert_as_traced(found)
    assert all(loop["most_shared_ns"] == 0 for loop in probe["found"]["off"]["loops"])


def interrupts_of(machine: str, probe: str) -> tuple[Answer, int]:
    """What was found under the flood, and what /proc/stat says that interrupts took of it."""
    found = ask(machine).get(probe, {"error": machines.last_words(machine)})
    assert "error" not in found, found["error"]
    by_interrupts_ns = found["by_column_ns"]["irq"] + found["by_column_ns"]["softirq"]
    assert by_interrupts_ns > 0.1 * found["most_ns"], (
        "the load is broken: to count them wrongly would not show"
    )
    assert percent_outside(found["counted_ns"], found["least_ns"], found["most_ns"]) <= 1
    return found, by_interrupts_ns


@pytest.mark.compiles
def test_interrupts_that_are_on_no_tasks_clock_are_the_kernels_own(needs_a_kernel_of_our_own: None) -> None:
    found, by_interrupts_ns = interrupts_of(machines.IRQTIME, "interrupts")
    assert percent_off(found["kernel_ns"], by_interrupts_ns) <= 5, "its threads have little to do"


@pytest.mark.compiles
def test_the_same_kernel_told_to_leave_them_on_tasks_clocks_has_nothing_added(
    needs_a_kernel_of_our_own: None,
) -> None:
    found, by_interrupts_ns = interrupts_of(machines.IRQTIME_OFF, "interrupts-in-clocks")
    assert found["kernel_ns"] <= 0.05 * by_interrupts_ns, "its threads have little to do"


def test_the_exporter_starts_balances_its_books_and_ends(answers: dict[str, Answer]) -> None:
    found = answers["start-up"]
    assert set(found["programs"]) == HOOKS
    assert found["books"]["total"] > 0
    assert unbalanced(found["books"]) <= 1e-9
    assert found["exit_code"] == 0
    assert "Traceback" not in found["log"]


@pytest.mark.parametrize("machine", [machine for machine in MACHINES if "image" in machines.PROBES[machine]])
def test_the_released_image_runs_on_another_cpu(machine: str, needs_the_kit: None) -> None:
    found = ask(machine)["image"]
    assert found["version"] == f"podjoule {VERSION}", found["said"]
    assert set(found["programs"]) == HOOKS
    assert f'version="{VERSION}"' in found["build"][0]
    assert found["exit_code"] == 0
    assert "Traceback" not in found["log"]


def test_kill_9_leaves_nothing_in_the_kernel(answers: dict[str, Answer]) -> None:
    assert set(answers["killed"]["programs"]) == HOOKS
    assert answers["killed"]["exit_code"] == -9
    assert answers["killed"]["left_behind"] == []


def test_the_doctor_names_each_difference(machine: str, answers: dict[str, Answer]) -> None:
    found = answers["doctor"]
    assert found["counters"]["found"] == "from core"
    assert found["kernel"]["found"].startswith("6.1" if machine == "arm64" else machine)
    assert found["cgroups"]["found"] == "v2 at /sys/fs/cgroup"
    if machine == "arm64":
        assert found["pmu"]["found"] == "armv8_pmuv3 without cache_misses; they are not exported"
    else:
        assert found["pmu"]["found"] == "no hardware counters; they are not exported"
    assert found["rapl"]["status"] == "warn"
    assert found["rapl"]["found"].startswith("no ")


def test_the_doctor_says_what_locked_memory_takes_before_5_11(
    machine: str, answers: dict[str, Answer]
) -> None:
    found = answers["confined-doctor"]["capabilities"]
    if machine == "5.10":
        assert found["status"] == "warn"
        assert found["found"].startswith("without CAP_SYS_RESOURCE")
        assert "CAP_SYS_RESOURCE" in found["mend"]
    else:
        assert found["status"] == "ok"


def test_what_is_exported_is_what_the_powercap_zones_drew(needs_the_kit: None) -> None:
    found = ask("6.1")["powercap"]
    books = found["books"]
    exported = books["idle"] + books["cgroups"] + books["unattributed"]
    assert found["mode"] == "400"
    assert found["window_seconds"] >= 60
    assert found["wrapped"]
    assert percent_off(exported, found["true_joules"]) <= 0.5
    assert percent_off(found["idle_watts"], found["plant_idle_watts"]) <= 5


def test_each_tick_exports_what_the_meter_read_to_the_microjoule(needs_the_kit: None) -> None:
    found = ask("6.1")["powercap"]
    assert len(set(found["drawn_by_tick"])) > 15
    assert found["exported_by_tick"] == pytest.approx(found["drawn_by_tick"], abs=1e-6)


@pytest.fixture(params=["6.1", "6.12"])
def meters(request: pytest.FixtureRequest, needs_the_kit: None) -> Answer:
    found = ask(request.param).get("meters", {"error": machines.last_words(request.param)})
    assert "error" not in found, found["error"]
    assert found["window_seconds"] >= 60
    return found


def test_perfs_events_export_what_was_drawn_and_powercap_tells_what_a_restart_hid(meters: Answer) -> None:
    found = meters["perf"]
    assert len(found["source"]) == 2
    assert all('source="perf"' in line for line in found["source"])
    assert exported_error(found, "package", restarted=False) <= 0.001, "its ticks' own readings"
    assert exported_error(found, "package", restarted=True) <= 0.5


def test_hwmons_counter_exports_what_was_drawn_over_a_wrap_and_a_restart(meters: Answer) -> None:
    found = meters["hwmon"]
    first, *_, last = found["drawn"]["package"]
    assert first < meters["wraps_after"] < last
    assert exported_error(found, "package", restarted=True) <= 0.001


def test_hwmons_power_is_added_up_to_what_was_drawn(meters: Answer) -> None:
    found = meters["hwmon"]
    assert exported_error(found, "platform", restarted=False) <= 0.5
    before, after = found["exported"]["platform"][1:3]
    assert before <= after, "a counter went down at the restart"


def test_the_books_of_meters_balance(meters: Answer) -> None:
    for run in (meters["perf"], meters["hwmon"]):
        for zone, books in run["books"].items():
            assert unbalanced(books) <= 1e-9, zone


def test_the_doctor_says_where_perfmon_is_not_enough_for_perfs_events(meters: Answer) -> None:
    checks = {check["name"]: check for check in meters["doctor"]["checks"]}
    assert meters["doctor"]["perf_event_paranoid"] == 3
    assert checks["meters"]["status"] == "warn"
    assert "package by rapl" in checks["meters"]["found"]
    assert "kernel.perf_event_paranoid is 3" in checks["meters"]["found"]
    assert "CAP_SYS_ADMIN" in checks["meters"]["found"]


def test_energy_that_may_not_be_read_is_named_and_a_model_stands_in(needs_the_kit: None) -> None:
    found = ask("6.1")["unreadable"]
    assert found["exit_code"] == 0, found["log"]
    assert "CAP_DAC_READ_SEARCH" in found["log"]
    assert '"source": "model"' in found["output"]
    assert "Traceback" not in found["log"]


@pytest.fixture
def board(needs_the_kit: None) -> Answer:
    found = ask("6.12").get("board", {"error": machines.last_words("6.12")})
    assert "error" not in found, found["error"]
    return found


def test_what_is_exported_of_a_board_is_what_its_controller_told(board: Answer) -> None:
    totals = [total for total, _ in board["totals"]]
    assert len(totals) >= 10
    assert totals[-1] - totals[0] >= 0.8 * 60 * 200  # watts
    assert sums_off_percent(totals, [truth for _, truth in board["truths"]]) <= 0.5
    assert unbalanced(board["books"]) <= 1e-9
    assert ['source="ipmi"' in line for line in board["source"]] == [True]
    assert ['bmc_id="ipmi0"' in line for line in board["watts"] + board["platform_joules"]] == [True, True]


def test_a_board_that_stands_still_holds_no_tick_and_is_read_again(board: Answer) -> None:
    hang = board["hang"]
    assert hang["ticks"] >= 3
    assert hang["longest_tick_seconds"] < hang["tick_before_seconds"] + 1.0
    assert hang["joules_after"] > 0
    # By our own deadline, or by the driver's, whichever comes first there.
    assert re.search("does not answer: waiting for it, ticks go on|has not answered", board["log"])
    assert "ipmi: reading again" in board["log"]
    assert "Traceback" not in board["log"]
