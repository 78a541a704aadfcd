"""What containerd runs, as far as the cluster's end has to see to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

from tests.e2e.cluster import network
from tests.e2e.cluster.place import ClusterError, Place
from tests.programs import program

_CNI_RESULTS = Path("/var/lib/cni/results")


def ctr(place: Place, *arguments: str, check: bool = True) -> str:
    """What `ctr` prints, in the namespace of the kubelet's containers."""
    command = [program("ctr"), f"--address={place.containerd_socket}", "--namespace=k8s.io", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if check and done.returncode:
        raise ClusterError(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def remove_all(place: Place) -> None:
    """End and remove every container, with its network namespace; the kubelet must be gone before."""
    ids = ctr(place, "containers", "ls", "--quiet", check=False).split()
    namespaces = {name for each in ids for name in _network_namespaces(place, each)}
    for each in ids:
        # ctr waits for the end of what it kills.
        ctr(place, "tasks", "rm", "--force", each, check=False)
        ctr(place, "containers", "rm", each, check=False)
    for name in namespaces:
        network.remove(name)
    for left in [path for each in ids for path in _CNI_RESULTS.glob(f"*-{each}-*")]:
        left.unlink()


def end_shims(place: Place) -> None:
    """End the shims of tasks that containerd lost sight of; containerd must be gone before."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode().split("\0")
            if "containerd-shim" in words[0] and str(place.containerd_socket) in words:
                os.kill(int(path.parent.name), signal.SIGKILL)


def _network_namespaces(place: Place, container: str) -> list[str]:
    """By name, of those that CNI made for it."""
    try:
        told = json.loads(ctr(place, "containers", "info", container, check=False) or "{}")
        namespaces = told["Spec"]["linux"]["namespaces"]
    except (ValueError, KeyError, TypeError):
        return []
    paths = [Path(each["path"]) for each in namespaces if each["type"] == "network" and "path" in each]
    return [path.name for path in paths if path.name.startswith("cni-")]
