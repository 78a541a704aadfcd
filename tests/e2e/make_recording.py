"""`make recording`: this machine under a load, by `podjoule record`, for the notebooks to run on.

The load and its counters are real, in cgroups as a kubelet makes them. So is the energy where there is a
meter. Where there is none, or with --simulated, it comes from a powercap tree in a temporary directory that
draws what PLANT says for the CPU time in /proc/stat: good for showing how things work, never for a model.
The recording that is bundled is another one: tests/exporter/recording/bundled.py.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.pods import Pod, pods
from tests.e2e.servers import ROOT, Plant
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live import loads
from tests.live.sandbox import stop

# Zone id -> watts idle, watts a busy CPU, and how much less each further one draws (turbo), 0 to 1.
PLANT = {"intel-rapl:0": (18.0, 14.0, 0.8), "intel-rapl:0:0": (2.5, 1.5, 1.0)}
NAMES = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "dram"}
NOISE = 0.01
PODS = ("web", "batch", "sidecar")
# Shares of a CPU by pod, one phase after the other, all over again until the end.
PHASES = (
    (0.0, 0.0, 0.05),
    (0.3, 0.0, 0.05),
    (0.6, 0.2, 0.05),
    (0.2, 0.9, 0.05),
    (0.9, 0.6, 0.1),
    (0.1, 0.4, 0.0),
)
PHASE_SECONDS = 13.0


class Draw:
    """What the plant draws at the load that the machine's CPUs have had since the last call."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._busy = _busy_seconds()

    def __call__(self, seconds: float) -> dict[str, float]:
        """Watts by zone over the interval that ends now."""
        before, self._busy = self._busy, _busy_seconds()
        cpus = max(0.0, self._busy - before) / seconds
        return {
            zone: (idle + per_cpu * cpus**exponent) * self._random.gauss(1, NOISE)
            for zone, (idle, per_cpu, exponent) in PLANT.items()
        }


def main() -> int:
    """Record into --output for --seconds, with load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("recording"))
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--simulated", action="store_true", help="never use this machine's own meter")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.stderr.write("recording: making cgroups and loading BPF needs root: sudo make recording\n")
        return 2
    has_meter = any(Path("/sys/class/powercap").glob("intel-rapl:*/energy_uj"))
    with contextlib.ExitStack() as stack:
        meter = () if has_meter and not arguments.simulated else stack.enter_context(_simulated_meter())
        known = stack.enter_context(pods(*PODS))
        stack.enter_context(_varying_load(known))
        return _record(arguments.output, arguments.seconds, meter)


def _record(output: Path, seconds: float, meter: tuple[str, ...]) -> int:
    command = [sys.executable, "-m", "exporter.commands.cli", "record", "--output", str(output.resolve())]
    options = ["--monitor.interval", "1s", "--duration", f"{seconds:g}s", "--kube.node-name", "recorded"]
    return subprocess.run([*command, *options, *meter], cwd=ROOT).returncode


@contextlib.contextmanager
def _simulated_meter() -> Iterator[tuple[str, ...]]:
    """A meter that draws what PLANT says; the flags under which podjoule reads it."""
    sys.stderr.write("recording: the energy is simulated: good for a look, not for a model\n")
    with tempfile.TemporaryDirectory(prefix="podjoule-recording-") as folder:
        tree = RaplTree(Path(folder) / "sys")
        for zone, name in NAMES.items():
            tree.add_zone(zone, name)
        with Plant(tree, Draw()):
            yield ("--host.sysfs", str(tree.root))


@contextlib.contextmanager
def _varying_load(known: dict[str, Pod]) -> Iterator[None]:
    stopping = threading.Event()
    thread = threading.Thread(target=_go_through_phases, args=(known, stopping), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _go_through_phases(known: dict[str, Pod], stopping: threading.Event) -> None:
    phase = 0
    while not stopping.is_set():
        shares = zip(PODS, PHASES[phase % len(PHASES)], strict=True)
        running = [known[name].container.python(loads.STEADY, f"{share}") for name, share in shares if share]
        stopping.wait(PHASE_SECONDS)
        stop(*running)
        phase += 1


def _busy_seconds() -> float:
    """CPU time of the machine that was neither idle nor waiting, seconds since boot."""
    user, nice, system, _idle, _iowait, irq, softirq = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
