"""What a cgroup path says about who runs there: container, VM, unit, user or the kernel itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["container", "vm", "unit", "user", "kernel", "pod", "other", "process"]
Segments = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Who energy is charged to; every cgroup below `cgroup` that is not a workload itself belongs to it.

    id: the 64 hex digits of a container (the name under LXC and systemd-nspawn), the name of a VM, the UID of
    a pod; else the cgroup path that names it ("/system.slice/ssh.service"). cgroup: path of the cgroup that
    named it. runtime, pod_uid and hypervisor are empty where the path does not tell.
    """

    kind: Kind
    id: str
    cgroup: str = ""
    runtime: str = ""
    pod_uid: str = ""
    hypervisor: str = ""

    @property
    def key(self) -> tuple[Kind, str]:
        """What makes two workloads the same one, wherever their cgroups lie."""
        return self.kind, self.id


UNKNOWN = Workload("other", "unknown")
KERNEL = Workload("kernel", "/", "/")

MAX_OTHER_DEPTH = 4

_CONTAINER_ID = re.compile(r"(?:(?P<prefix>.*)[-_:])?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_UUID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
# A static pod's UID is the md5 of its manifest (kubernetes.io/config.hash): 32 digits without dashes.
_POD = re.compile(rf"(?:\A|-)pod(?P<uid>{_UUID}|[0-9a-f]{{32}})(?=\.slice|:|\Z)")
_LIBVIRT = re.compile(r"machine-(?P<driver>qemu|lxc)-[0-9]+-(?P<name>.+)\.scope")
_LIBVIRT_WITHOUT_SYSTEMD = re.compile(r"(?:qemu-[0-9]+-)?(?P<name>.+)\.libvirt-qemu")
_NSPAWN = re.compile(r"(?:machine-(?P<scope>.+)\.scope|systemd-nspawn@(?P<service>.+)\.service)")
_LXC_PAYLOAD = re.compile(r"lxc\.payload\.(?P<name>.+)")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
_USER = re.compile(r"user-[0-9]+\.slice")
_UNIT = re.compile(r".+\.(?:service|scope|socket|mount|swap)", re.DOTALL)
# Names that a program made up: UUIDs, hashes, and buildkit's 25 characters to the base 36.
_GENERATED = re.compile(rf"{_UUID}|[0-9a-f]{{16,}}|[0-9a-z]{{25}}")

_RUNTIME_OF_PREFIX = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "crio",
    "libpod": "podman",
    "libpod-payload": "podman",
}
_RUNTIME_OF_PARENT = {
    "docker": "docker",
    "moby": "docker",
    "containerd": "containerd",
    "default": "containerd",
    "k8s.io": "containerd",
    "libpod_parent": "podman",
}


def identify(path: str | None) -> Workload:
    """The workload that a cgroup belongs to; any string is answered, none raises.

    path: below the hierarchy's root, "/" for the root itself, None for an id that was never seen.
    The deepest container, VM or pod wins, so Docker in Docker is the inner container and the units of a
    systemd inside a container are the container. Below none of them: one workload a user, the deepest
    systemd unit that is not a slice, else "other". Forms: FIELD, "cgroups, containers, pods".
    """
    if path is None:
        return UNKNOWN
    segments = _split(path)
    if not segments:
        return KERNEL
    for depth in range(len(segments), 0, -1):
        upper = segments[:depth]
        workload = _container(upper) or _machine(upper) or _pod(upper)
        if workload is not None:
            return workload
    return _user(segments) or _unit(segments) or _other(segments)


def pod_of(workload: Workload) -> Workload | None:
    """The pod that a container runs in, or None for what is in no pod."""
    if workload.kind != "container" or not workload.pod_uid:
        return None
    segments = _split(workload.cgroup)
    depths = (d for d in range(len(segments), 0, -1) if _POD.search(segments[d - 1]))
    cgroup = _join(segments[: next(depths, 0)])
    return Workload("pod", workload.pod_uid, cgroup, pod_uid=workload.pod_uid)


def _split(path: str) -> Segments:
    if not path.isascii():
        # A directory name may be any bytes, a label must be UTF-8: what is not becomes "?".
        path = path.encode("utf-8", "replace").decode()
    return tuple(filter(None, path.split("/")))


def _join(segments: Segments) -> str:
    return "/" + "/".join(segments)


def _container(upper: Segments) -> Workload | None:
    name = upper[-1]
    match = _CONTAINER_ID.fullmatch(name) if len(name) >= 64 else None
    if match is None:
        return _lxc(upper)
    prefix, parent = match["prefix"], upper[-2] if len(upper) > 1 else ""
    if "conmon" in (prefix or "") or (prefix is None and _is_podman_pod(upper)):
        return None
    if prefix is None:
        runtime = _RUNTIME_OF_PARENT.get(parent, "")
    else:
        runtime = _RUNTIME_OF_PREFIX.get(prefix.rpartition(":")[2], "")
    return Workload("container", match["id"], _join(upper), runtime, _pod_uid(upper))


def _is_podman_pod(upper: Segments) -> bool:
    """With the cgroupfs manager a podman pod is a bare id, its containers are libpod-<id>."""
    return upper[-2:-1] == ("libpod_parent",)


def _lxc(upper: Segments) -> Workload | None:
    match = _LXC_PAYLOAD.fullmatch(upper[-1])
    if match is not None:
        return Workload("container", match["name"], _join(upper), "lxc", _pod_uid(upper))
    if upper[-2:-1] in (("lxc",), ("lxc.payload",)):
        return Workload("container", upper[-1], _join(upper), "lxc", _pod_uid(upper))
    return None


def _machine(upper: Segments) -> Workload | None:
    """A guest registered with systemd-machined, or libvirt's and Proxmox's names without it."""
    name, cgroup = _unescape(upper[-1]), _join(upper)
    if match := _LIBVIRT.fullmatch(name):
        if match["driver"] == "lxc":
            return Workload("container", match["name"], cgroup, "lxc")
        return Workload("vm", match["name"], cgroup, hypervisor="kvm")
    if match := _LIBVIRT_WITHOUT_SYSTEMD.fullmatch(name):
        return Workload("vm", match["name"], cgroup, hypervisor="kvm")
    if upper[-2:-1] == ("qemu.slice",) and name.endswith(".scope"):
        return Workload("vm", name.removesuffix(".scope"), cgroup, hypervisor="kvm")
    if match := _NSPAWN.fullmatch(name):
        return Workload("container", match["scope"] or match["service"], cgroup, "systemd-nspawn")
    return None


def _pod(upper: Segments) -> Workload | None:
    """A pod's own cgroup, where a pause process or a conmon runs that is in no container."""
    uid = _uid_in(upper[-1])
    return Workload("pod", uid, _join(upper), pod_uid=uid) if uid else None


def _pod_uid(segments: Segments) -> str:
    return next(filter(None, map(_uid_in, reversed(segments))), "")


def _uid_in(name: str) -> str:
    match = _POD.search(name)
    # The systemd driver writes "_", since "-" separates slices there.
    return match["uid"].replace("_", "-") if match else ""


def _user(segments: Segments) -> Workload | None:
    for depth in range(2, len(segments) + 1):
        if segments[depth - 2] == "user.slice" and _USER.fullmatch(segments[depth - 1]):
            return _named_by_path("user", segments[:depth])
    return None


def _unit(segments: Segments) -> Workload | None:
    for depth in range(len(segments), 0, -1):
        if _UNIT.fullmatch(segments[depth - 1]):
            return _named_by_path("unit", segments[:depth])
    return None


def _other(segments: Segments) -> Workload:
    """The path as it is, up to the first generated name below the top and to MAX_OTHER_DEPTH.

    A program that makes a cgroup per job must not make a series per job: its jobs are one workload.
    """
    generated = (d for d in range(1, len(segments)) if _GENERATED.fullmatch(segments[d]))
    return _named_by_path("other", segments[: min(MAX_OTHER_DEPTH, next(generated, len(segments)))])


def _named_by_path(kind: Kind, segments: Segments) -> Workload:
    path = _join(segments)
    return Workload(kind, path, path)


def _unescape(unit: str) -> str:
    r"""Undo systemd's escapes in a unit name: "qemu\x2d1\x2dweb" is "qemu-1-web" (systemd-escape(1))."""
    if "\\x" not in unit:
        return unit
    raw = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), unit.encode())
    return raw.decode("utf-8", "replace")
