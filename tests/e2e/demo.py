"""`make demo`: podjoule, a Prometheus that scrapes it, and some load to look at, until Ctrl-C.

The load is real, in cgroups as a kubelet makes them; the energy is this machine's meter's, or the model's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.e2e.pods import Pod, pods
from tests.e2e.servers import Podjoule, Prometheus
from tests.live import loads
from tests.live.sandbox import stop
from tests.programs import table

SHARES = {"web": 0.5, "batch": 0.25, "sidecar": 0.05}
WATTS = "sum by (pod_id, zone) (rate(kepler_pod_cpu_joules_total[30s]))"
NODE = "sum by (zone) (rate(kepler_node_cpu_joules_total[30s]))"


def main() -> int:
    """Run until interrupted, or for --seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop by itself after so long")
    arguments = parser.parse_args()
    if lacking := _lacking():
        sys.stderr.write(f"demo: {lacking}\n")
        return 2
    with contextlib.suppress(KeyboardInterrupt):
        _show(time.monotonic() + arguments.seconds)
    return 0


def _lacking() -> str:
    if os.geteuid() != 0:
        return "making cgroups and loading BPF needs root: sudo make demo"
    return "" if table()["prometheus"].find() else "no prometheus: .ci/setup test installs it"


def _show(until: float) -> None:
    with tempfile.TemporaryDirectory(prefix="podjoule-demo-") as folder, _running(Path(folder)) as parts:
        podjoule, prometheus, known = parts
        sys.stdout.write(
            f"podjoule    {podjoule.url}/metrics\n"
            f"Prometheus  {prometheus.url}/graph?g0.expr={quote(WATTS)}&g0.tab=0&g0.range_input=5m\n"
            "load        " + ", ".join(f"{name} {share:g} CPU" for name, share in SHARES.items()) + "\n"
            "Ctrl-C ends it.\n\n"
        )
        while time.monotonic() < until:
            time.sleep(5)
            _print_watts(prometheus, known)


def _print_watts(prometheus: Prometheus, known: dict[str, Pod]) -> None:
    names = {pod.uid: name for name, pod in known.items()}
    node = {labels["zone"]: watts for labels, watts in prometheus.query(NODE)}
    by_pod = [
        (labels["zone"], names.get(labels["pod_id"], labels["pod_id"]), watts)
        for labels, watts in prometheus.query(WATTS)
    ]
    for zone, watts in node.items():
        shares = ", ".join(f"{name} {w:.2f} W" for z, name, w in sorted(by_pod) if z == zone)
        sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {zone} {watts:.2f} W: {shares}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[tuple[Podjoule, Prometheus, dict[str, Pod]]]:
    with contextlib.ExitStack() as stack:
        known = stack.enter_context(pods(*SHARES))
        podjoule = stack.enter_context(Podjoule("--monitor.interval=2s", log=folder / "podjoule.log"))
        processes = [known[name].container.python(loads.STEADY, str(share)) for name, share in SHARES.items()]
        stack.callback(stop, *processes)
        target = podjoule.url.removeprefix("http://")
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", [target]))
        yield podjoule, prometheus, known


if __name__ == "__main__":
    sys.exit(main())
