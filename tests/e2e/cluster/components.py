"""The cluster's processes: each has a log and a pid file in the state directory."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.cluster import network
from tests.e2e.cluster.place import NODE_IP, NODE_NAME, SERVICE_RANGE, Place
from tests.programs import program

# In the order in which they start.
NAMES = ("etcd", "apiserver", "controller-manager", "scheduler", "containerd", "kubelet")
_ETCD = "http://127.0.0.1:2379"
_STOP_SECONDS = 20.0


def start(place: Place, name: str) -> None:
    """Start one in the cluster's network, in a session of its own; its log goes on where it was."""
    command = _COMMANDS[name](place)
    log = str(place.state / f"{name}.log")
    output = (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), output, (os.POSIX_SPAWN_DUP2, 1, 2)]
    with network.inside(place.namespace):
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=files, setsid=True)
    _pid_file(place, name).write_text(str(pid))


def stop(place: Place, name: str) -> None:
    """End one and wait for it; nothing where it does not run."""
    pid = running_pid(place, name)
    if pid is not None:
        _send(pid, signal.SIGTERM)
        if not _ended(pid, _STOP_SECONDS):
            _send(pid, signal.SIGKILL)
            _ended(pid, _STOP_SECONDS)
    _pid_file(place, name).unlink(missing_ok=True)


def running_pid(place: Place, name: str) -> int | None:
    """Its pid while it runs: a file of a machine's life before names somebody else."""
    try:
        pid = int(_pid_file(place, name).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (OSError, ValueError):
        return None
    return pid if any(str(place.state) in word for word in words) else None


def log_tail(place: Place, name: str, lines: int = 5) -> str:
    """The last it had to say."""
    with contextlib.suppress(OSError):
        return "\n".join((place.state / f"{name}.log").read_text().splitlines()[-lines:])
    return ""


def _pid_file(place: Place, name: str) -> Path:
    return place.state / f"{name}.pid"


def _send(pid: int, signalled: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signalled)


def _ended(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # where we started it ourselves, somebody has to
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


def _etcd(place: Place) -> list[str]:
    return [
        program("etcd"),
        f"--data-dir={place.state}/etcd",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
    ]


def _apiserver(place: Place) -> list[str]:
    keys = place.keys
    return [
        f"{place.binaries}/kube-apiserver",
        f"--etcd-servers={_ETCD}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={NODE_IP}",
        "--secure-port=443",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={keys}/apiserver.crt",
        f"--tls-private-key-file={keys}/apiserver.key",
        f"--client-ca-file={keys}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys}/sa.pub",
        f"--service-account-signing-key-file={keys}/sa.key",
        "--authorization-mode=Node,RBAC",
        f"--kubelet-client-certificate={keys}/admin.crt",
        f"--kubelet-client-key={keys}/admin.key",
        f"--kubelet-certificate-authority={keys}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged",  # as kubeadm and every distribution have it
        "--shutdown-delay-duration=0s",
    ]


def _controller_manager(place: Place) -> list[str]:
    return [
        f"{place.binaries}/kube-controller-manager",
        f"--kubeconfig={place.keys}/controller-manager.kubeconfig",
        f"--service-account-private-key-file={place.keys}/sa.key",
        f"--root-ca-file={place.keys}/ca.crt",
        "--use-service-account-credentials",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


def _scheduler(place: Place) -> list[str]:
    return [
        f"{place.binaries}/kube-scheduler",
        f"--kubeconfig={place.keys}/scheduler.kubeconfig",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


def _containerd(place: Place) -> list[str]:
    return [program("containerd"), "--config", f"{place.state}/containerd.toml"]


def _kubelet(place: Place) -> list[str]:
    return [
        f"{place.binaries}/kubelet",
        f"--config={place.state}/kubelet.yaml",
        f"--kubeconfig={place.keys}/kubelet.kubeconfig",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_IP}",
        f"--root-dir={place.state}/kubelet",
    ]


_COMMANDS: dict[str, Callable[[Place], list[str]]] = dict(
    zip(NAMES, (_etcd, _apiserver, _controller_manager, _scheduler, _containerd, _kubelet), strict=True)
)
