"""A host with RAPL, for a machine that may have none: a sysfs with a powercap tree and the CPUs wanted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.estimator.meters.rapl_tree import DRAM_RANGE_UJ, RaplTree


def this_machine_with_rapl(root: Path) -> RaplTree:
    """One package and its DRAM; the CPUs are this machine's own."""
    tree = RaplTree(root)
    tree.add_zone("intel-rapl:0", "package-0", 1_000_000)
    tree.add_zone("intel-rapl:0:0", "dram", 7_000_000, DRAM_RANGE_UJ)
    (root / "devices/system").symlink_to("/sys/devices/system")
    (root / "bus").symlink_to("/sys/bus")
    return tree


def two_sockets_with_rapl(root: Path, n_cpu: int) -> RaplTree:
    """Two packages, each with its DRAM and half of the CPUs."""
    tree = RaplTree.two_sockets(root)
    cpus = root / "devices/system/cpu"
    for cpu in range(n_cpu):
        topology = cpus / f"cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(f"{cpu * 2 // n_cpu}\n")
    for name in ("online", "possible"):
        (cpus / name).write_text(f"0-{n_cpu - 1}\n")
    return tree


@contextmanager
def drawing(tree: RaplTree) -> Iterator[Path]:
    """Let every zone draw energy meanwhile; the root of the tree."""
    stop = threading.Event()

    def draw() -> None:
        while not stop.wait(0.2):
            tree.advance_all(4.0)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield tree.root
    finally:
        stop.set()
        thread.join()
