"""A real one-node Kubernetes: up, down, and what one asks of it in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.e2e.cluster import binaries, components, containers, images, network, settings
from tests.e2e.cluster.place import NODE_NAME, ClusterError, Place
from tests.programs import table

PROGRAMS = ("etcd", "containerd", "ctr", "runc", "ip", "busybox", "ptp", "host-local")
_FOREIGN = (
    "the network namespace {namespace} is there, but nothing of it in {state}: a cluster with another"
    " CLUSTER_STATE is up; end it, or `ip netns delete {namespace}` if nothing is in there"
)
_CGROUPS = Path("/sys/fs/cgroup")
_PARENT = "kubepods"
_CONTAINER_LOGS = Path("/var/log/containers")


class Cluster:
    """`up` returns once the node is Ready; `down` leaves no process, mount, cgroup or namespace.

    There is one on a machine at a time.
    """

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or Place()

    @property
    def environment(self) -> dict[str, str]:
        """With kubectl and helm on the PATH, and the administrator's kubeconfig."""
        path = f"{self.place.binaries}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.place.kubeconfig)}

    def network(self) -> AbstractContextManager[None]:
        """This thread, and the processes it starts, inside the cluster's network."""
        return network.inside(self.place.namespace)

    def run(self, *command: str, stdin: str | None = None, timeout: float = 180) -> str:
        """What a command inside the cluster's network prints. Raises ClusterError with its own words."""
        with self.network():
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.environment,
                check=False,
            )
        if done.returncode:
            raise ClusterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 180) -> str:
        """What kubectl prints, asked as the administrator."""
        return self.run("kubectl", *arguments, stdin=stdin, timeout=timeout)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get ... -o json`."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return answer

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        """What helm prints."""
        return self.run("helm", *arguments, stdin=stdin)

    def rollout(self, namespace: str, workload: str, seconds: float = 60) -> None:
        """Wait until a workload such as deployment/web runs as its manifest says."""
        self.kubectl("-n", namespace, "rollout", "status", workload, f"--timeout={seconds:.0f}s")

    def is_up(self) -> bool:
        """Whether it answers, with the node Ready."""
        if not network.exists(self.place.namespace) or not self.place.kubeconfig.exists():
            return False
        ready = '{.status.conditions[?(@.type=="Ready")].status}'
        try:
            return self.kubectl("get", "node", NODE_NAME, "-o", f"jsonpath={ready}", timeout=10) == "True"
        except (ClusterError, subprocess.TimeoutExpired):
            return False

    def lacking(self) -> str:
        """What `up` needs and has not, with the mend; "" where nothing is missing."""
        if os.geteuid() != 0:
            return "a cluster needs root"
        if not binaries.are_current(self.place):
            return binaries.LACKING
        missing = [name for name in PROGRAMS if table()[name].find() is None]
        return f"needs {', '.join(missing)}: .ci/setup test installs what is missing" if missing else ""

    def up(self) -> None:
        """Start it anew; nothing where it is up. Raises ClusterError with the log of what did not start."""
        if self.is_up():
            return
        if lacking := self.lacking():
            raise ClusterError(lacking)
        if network.exists(self.place.namespace) and not self.place.kubeconfig.exists():
            raise ClusterError(_FOREIGN.format(namespace=self.place.namespace, state=self.place.state))
        self.down()
        settings.write_all(self.place)
        network.make(self.place.namespace)
        components.start(self.place, "etcd")
        components.start(self.place, "containerd")
        self.start_api_server()
        components.start(self.place, "controller-manager")
        components.start(self.place, "scheduler")
        self._wait("containerd", 30, lambda: bool(containers.ctr(self.place, "version")))
        images.load_own(self.place)
        components.start(self.place, "kubelet")
        self._wait("kubelet", 90, self.is_up)

    def start_api_server(self) -> None:
        """Start the API server and wait until it answers."""
        components.start(self.place, "apiserver")
        self._wait("apiserver", 90, lambda: self.kubectl("get", "--raw", "/readyz", timeout=10) == "ok")

    def stop_api_server(self) -> None:
        """End the API server; what runs goes on running."""
        components.stop(self.place, "apiserver")

    def down(self) -> None:
        """End everything that `up` began, however far it came; the logs stay in the state directory.

        A cluster with another state directory is left alone.
        """
        if self.place.kubeconfig.exists():
            self._end()
        _forget(self.place.state)

    def _end(self) -> None:
        for name in ("kubelet", "scheduler", "controller-manager"):
            components.stop(self.place, name)
        containers.remove_all(self.place)
        for name in ("containerd", "apiserver", "etcd"):
            components.stop(self.place, name)
        containers.end_shims(self.place)
        network.remove(self.place.namespace)
        _unmount(self.place.state)
        _remove_cgroups(self.place.cgroup_root)
        _remove_links(_CONTAINER_LOGS, self.place.pod_logs)

    def _wait(self, name: str, seconds: float, done: Callable[[], bool]) -> None:
        """Until it is done, as long as the component it hangs on is alive."""
        deadline = time.monotonic() + seconds
        while not _true(done):
            if components.running_pid(self.place, name) is None or time.monotonic() > deadline:
                log = components.log_tail(self.place, name)
                raise ClusterError(f"{name} does not get ready; the end of its log:\n{log}")
            time.sleep(0.2)


def _true(done: Callable[[], bool]) -> bool:
    try:
        return done()
    except (ClusterError, subprocess.TimeoutExpired):
        return False


def _mounts_below(folder: Path) -> Sequence[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    found = [line.split()[1].encode().decode("unicode_escape") for line in lines]
    return sorted((each for each in found if each.startswith(f"{folder}/")), reverse=True)


def _unmount(folder: Path) -> None:
    for mount in _mounts_below(folder):
        subprocess.run(["umount", "--lazy", mount], capture_output=True)


def _remove_cgroups(root: str) -> None:
    """The kubelet's, in every hierarchy; the innermost first."""
    below = root.strip("/")
    for hierarchy in (_CGROUPS, *_CGROUPS.iterdir()):
        parent = hierarchy / below / _PARENT
        for folder in sorted([*parent.rglob("*/"), parent] if parent.is_dir() else [], reverse=True):
            _remove_cgroup(folder)


def _remove_cgroup(folder: Path, seconds: float = 5.0) -> None:
    """A process that was killed may still be on its way out."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)


def _remove_links(folder: Path, target: Path) -> None:
    """Those that the kubelet made there to its pods' logs."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_symlink() and path.readlink().is_relative_to(target):
            path.unlink()


def _forget(state: Path) -> None:
    """All but the logs, so that the next cluster begins anew."""
    if left := _mounts_below(state):
        raise ClusterError(f"still mounted, so nothing was removed: {', '.join(left)}")
    for path in state.iterdir() if state.exists() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".log":
            path.unlink()
