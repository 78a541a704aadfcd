"""The machines of ./kit from outside: what each is asked, and what it answered."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ebpf.directory_lock import lock_directory
from tests import releases
from tests.vm.external_bmc import ExternalBmc
from tests.vm.known_program import known_program, short_program
from tests.vm.probe import MARK

ROOT = Path(__file__).resolve().parents[2]
KIT = Path(__file__).with_name("kit")
KNOWN_INSTRUCTIONS = 1_000_000_000
# Four minutes where the CPUs are its own; a machine that stands still is ended, and what it answered counts.
LONGEST_SECONDS = 1080
# Once it has answered all. Now and then one never gets off: a CPU that came back under emulation spins on.
OFF_SECONDS = 45
LOOK_SECONDS = 5
STILL_SECONDS = 420  # a probe ends itself after 300, and a boot takes two minutes on a busy host
CAN_STAND_STILL = ("5.10", "6.1", "6.12")  # the others take longer over an answer, or never did
PANIC = "Kernel panic"  # as the kernel says it
IRQTIME, IRQTIME_OFF = "irqtime", "irqtime_off"  # small: asked for nothing but what they are there for
GUEST = "guest"  # asked by its host
_FIRST = [
    "machine",
    "doctor",
    "confined-doctor",
    "short-lived",
    "lesser",
    "events",
    "pids",
    "start-up",
    "killed",
]
# hotplug comes last: a CPU that came back under emulation is not what the other claims are about
PROBES = {
    "5.10": [*_FIRST, "core", "sharing", "hotplug"],
    "6.1": [*_FIRST, "core-and-bcc", "powercap", "unreadable", "meters", "hotplug"],
    "6.12": [*_FIRST, "core", "meters", "board", "hotplug"],
    "arm64": [*_FIRST, "image", "core", "known", "starving", "sharing", "hotplug"],
    "threads": ["machine", "threads"],
    GUEST: ["machine", "guest"],
    IRQTIME: ["machine", "interrupts"],
    IRQTIME_OFF: ["machine", "interrupts-in-clocks"],
}
_SOURCES = (
    "ebpf", "estimator", "exporter", "models", "tests/vm", "tests/live", "tests/e2e/servers.py",
    "tests/programs.py", "tests/programs.tsv",    "tests/estimator/meters/rapl_tree.py",
)  # fmt: skip
# What Debian 12 has not, or not new enough.
_BESIDE_DEBIANS = ("durationpy", "tornado")

Answers = dict[str, dict[str, Any]]


def cache() -> Path:
    """Where kernels and roots are kept between runs."""
    return Path(os.environ.get("VM_DIR") or Path.home() / ".cache/podjoule/vm")


def fetch() -> None:
    """Have everything that machines are made of. Raises CalledProcessError; what was missing is on stderr.

    Tests side by side ask for it at the same time.
    """
    cache().mkdir(parents=True, exist_ok=True)
    lock = lock_directory(cache(), LONGEST_SECONDS)
    try:
        for step in ("fetch", "plant"):
            subprocess.run([KIT, step, cache()], check=True)
    finally:
        if lock is not None:
            os.close(lock)


def compile_kernel() -> None:
    """Have the kernel of IRQTIME, which is compiled here: some minutes. Raises CalledProcessError."""
    subprocess.run([KIT, "compile", cache()], check=True)


def ask(machine: str, *options: str, through: Sequence[str] = ()) -> Answers:
    """Boot a machine and run all its probes: name -> finding. The console is kept beside the cache.

    One that stands still or whose kernel gives up before it has answered all is booted once more, which is
    said: emulation may do that to it, and what is wrong does it again.
    options: more of qemu's. through: what goes before the command that boots it.
    """
    got_off = _boot(machine, options, through)
    console = words(machine)
    if not got_off or (PANIC in console and not _are_all(machine, answers(console))):
        what = "gave up" if got_off else "stood still"
        sys.stderr.write(f"machine {machine} {what}, and is booted once more: {last_words(machine)}\n")
        _boot(machine, options, through)
    return answers(words(machine))


def _boot(machine: str, options: Sequence[str], through: Sequence[str]) -> bool:
    """Until it is off; False where it stood still and was ended."""
    with tempfile.TemporaryDirectory(prefix="podjoule-vm-") as folder:
        _lay_over(Path(folder), machine)
        boot = [*through, "nice", "timeout", "--kill-after=5", f"{LONGEST_SECONDS}", KIT, "boot"]
        with _console(machine).open("w") as console, _board(machine) as board:
            booted = subprocess.Popen(
                [*boot, cache(), machine, folder, *board, *options],
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
            return _wait_until_off(booted, machine)


@contextlib.contextmanager
def _board(machine: str) -> Iterator[list[str]]:
    """qemu's options for a management controller, where a machine is asked about one, and the controller."""
    if "board" not in PROBES[machine]:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="podjoule-bmc-") as folder:
        path = Path(folder) / "socket"
        with contextlib.closing(ExternalBmc(path)):
            socket, bmc = f"socket,id=bmc,path={path},reconnect=1", "ipmi-bmc-extern,chardev=bmc,id=bmc0"
            yield ["-chardev", socket, "-device", bmc, "-device", "isa-ipmi-kcs,bmc=bmc0"]


def _wait_until_off(booted: subprocess.Popen[bytes], machine: str) -> bool:
    """However long it boots and answers; once it has answered all, at most OFF_SECONDS.

    False where it has not answered anything for STILL_SECONDS, and can stand still: it is ended.
    """
    heard, since = 0, time.monotonic()
    while not _are_all(machine, told := answers(words(machine))):
        if len(told) > heard:
            heard, since = len(told), time.monotonic()
        if machine in CAN_STAND_STILL and time.monotonic() - since > STILL_SECONDS:
            _end(booted, 0)
            return False
        try:
            booted.wait(LOOK_SECONDS)
            return True
        except subprocess.TimeoutExpired:
            continue
    _end(booted, OFF_SECONDS)
    return True


def _are_all(machine: str, told: Answers) -> bool:
    return set(PROBES[machine]) <= told.keys()


def _end(booted: subprocess.Popen[bytes], grace_seconds: float) -> None:
    for seconds, signum in ((grace_seconds, signal.SIGTERM), (10, signal.SIGKILL)):
        try:
            booted.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            os.killpg(booted.pid, signum)
    booted.wait()


def words(machine: str) -> str:
    """What the machine has printed in its last boot."""
    return _console(machine).read_text(errors="replace")


def last_words(machine: str) -> str:
    """The end of what the machine printed in its last boot."""
    return words(machine)[-4000:]


def _console(machine: str) -> Path:
    return cache() / f"console-{machine}"


def answers(console: str) -> Answers:
    """The findings on a console, by probe; a line that is not whole yet is none."""
    lines = console.rpartition("\n")[0].splitlines()
    rows = [json.loads(line.partition(MARK)[2]) for line in lines if line.startswith(MARK)]
    return {row.pop("name"): row for row in rows}


def _lay_over(folder: Path, machine: str) -> None:
    folder.chmod(0o755)  # it becomes the machine's "/", which users have to pass
    code = folder / "podjoule"
    for source in _SOURCES:
        target = code / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    for package in _BESIDE_DEBIANS:
        # What is compiled of them is for this machine's CPU, and they do without.
        without = shutil.ignore_patterns("__pycache__", "*.so", "test")
        shutil.copytree(Path(import_module(package).__file__ or "").parent, code / package, ignore=without)
    if "image" in PROBES[machine]:
        releases.lay_down("arm64", folder / "image")
    plant = cache() / f"energy_plant-{machine}.ko"
    if plant.exists():
        shutil.copy(plant, folder / "energy_plant.ko")
    if "board" in PROBES[machine]:
        for module in (cache() / "machines").glob(f"**/modules/{machine}*/kernel/drivers/char/ipmi/*.ko"):
            shutil.copy(module, folder)
    if machine in (IRQTIME, IRQTIME_OFF):
        shutil.copy(cache() / "irqtime/types", folder)
    programs = {"known": known_program(KNOWN_INSTRUCTIONS)[0], "short": short_program(machine)}
    for name, program in programs.items():
        (folder / name).write_bytes(program)
        (folder / name).chmod(0o755)
    (folder / "run.sh").write_text(
        f"cd /podjoule && SHORT_PROGRAM=/short exec python3 -m tests.vm.probe {' '.join(PROBES[machine])}\n"
    )
