"""What a soak is played on: a meter's tree, an API server, a disk for the state, cgroups, the exporter."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.exporter.names.kube.kube_server import TOKEN, KubeServer, write_ca
from tests.live.sandbox import Cgroup, cgroup, mounted_bpffs
from tests.programs import program
from tests.soak.exporter import Exporter
from tests.soak.files import Configuration, Disk
from tests.soak.meter import Meter
from tests.soak.pods import Pods

DISK_MB = 8


@dataclass(frozen=True, slots=True)
class Stage:
    """pins: where the exporter pins, on a bpffs. parent: of all our cgroups."""

    pins: Path
    parent: Cgroup
    meter: Meter
    server: KubeServer
    pods: Pods
    disk: Disk
    configuration: Configuration
    exporter: Exporter


@contextmanager
def stage(folder: Path, levels: Sequence[str] = ()) -> Iterator[Stage]:
    """All but the running exporter; gone afterwards. levels: exported beside the usual ones."""
    with ExitStack() as stack:
        bpffs = stack.enter_context(mounted_bpffs(folder / "bpf"))
        state = stack.enter_context(_mounted_tmpfs(folder / "state"))
        parent = stack.enter_context(cgroup("soak"))
        ca, certificate = write_ca(folder)
        server = KubeServer(certificate)
        stack.callback(server.stop)
        pods = Pods(_made(parent, "kubepods", "burstable"), server)
        stack.callback(pods.close)
        configuration = Configuration(folder / "podjoule.yaml", levels)
        arguments = (
            f"--config.file={configuration.file}",
            f"--host.sysfs={folder / 'sys'}",
            "--host.procfs=/proc",
            f"--state.dir={state}",
            f"--ebpf.pin={bpffs / 'podjoule'}",
            f"--kube.config={_kubeconfig(folder, server, ca)}",
            "--kube.node-name=soak",
            "--kube.names-timeout=10s",  # the API server is never back for as long as a row may wait for it
            "--ebpf.loader=core",
        )
        exporter = Exporter(folder, arguments)
        stack.callback(exporter.close)
        meter, disk, pins = Meter(folder / "sys"), Disk(state), bpffs / "podjoule"
        yield Stage(pins, parent, meter, server, pods, disk, configuration, exporter)


def _made(group: Cgroup, *below: str) -> Cgroup:
    for name in below:
        group = group.child(name).make()
    return group


@contextmanager
def _mounted_tmpfs(mount: Path) -> Iterator[Path]:
    mount.mkdir()
    subprocess.run([program("mount"), "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run([program("umount"), mount], check=True)


def _kubeconfig(folder: Path, server: KubeServer, ca: Path) -> Path:
    cluster = {
        "server": server.url,
        "certificate-authority-data": base64.b64encode(ca.read_bytes()).decode(),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file
