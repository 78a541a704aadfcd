"""What a cgroup path says about who runs there: container, VM, batch job, unit, user or the kernel itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ebpf.cgroups import KERNEL_PATH
from exporter.names.generated import is_generated, without_generated
from exporter.names.jobs import job_of

Kind = Literal["container", "vm", "unit", "user", "kernel", "root", "job", "pod", "other", "process"]
Segments = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Who energy is charged to; every cgroup below `cgroup` that is not a workload itself belongs to it.

    id: the 64 hex digits of a container or what else its runtime makes unique, the UID of a pod, a batch
    job's own id; else the cgroup path, since a name alone ("web") may be there twice. name: what the runtime
    calls it, where the path tells. cgroup: path of the cgroup that named it; "*" stands there for what a
    program made up. runtime, pod_uid and hypervisor are empty where the path does not tell.
    """

    kind: Kind
    id: str
    cgroup: str = ""
    runtime: str = ""
    pod_uid: str = ""
    hypervisor: str = ""
    name: str = ""

    @property
    def key(self) -> tuple[Kind, str]:
        """What makes two workloads the same one, wherever their cgroups lie."""
        return self.kind, self.id


UNKNOWN = Workload("other", "unknown")
REST = Workload("other", "rest")
KERNEL = Workload("kernel", "/", "/")
ROOT = Workload("root", "/", "/")

MAX_OTHER_DEPTH = 4

_CONTAINER_ID = re.compile(r"(?:(?P<prefix>.*)[-_:])?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_UUID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
# A static pod's UID is the md5 of its manifest (kubernetes.io/config.hash): 32 digits without dashes.
_POD = re.compile(rf"(?:\A|-)pod(?P<uid>{_UUID}|[0-9a-f]{{32}})(?=\.slice|:|\Z)")
_LIBVIRT = re.compile(r"machine-(?P<driver>qemu|lxc)-[0-9]+-(?P<name>.+)\.scope")
_LIBVIRT_WITHOUT_SYSTEMD = re.compile(r"(?:(?:qemu|lxc)-[0-9]+-)?(?P<name>.+)\.libvirt-(?P<driver>qemu|lxc)")
_NSPAWN = re.compile(r"(?:machine-(?P<scope>.+)\.scope|systemd-nspawn@(?P<service>.+)\.service)")
_LXC_PAYLOAD = re.compile(r"lxc\.payload\.(?P<name>.+)")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
_ODD_BYTE = re.compile("[\udc80-\udcff]")  # surrogateescape
_USER = re.compile(r"user-[0-9]+\.slice")
_UNIT = re.compile(r".+\.(?:service|scope|socket|mount|swap)", re.DOTALL)
_GARDEN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){4}")
_MESOS = re.compile(_UUID)
_VIRTUOZZO = re.compile(rf"[0-9]+|{_UUID}")
_NOMAD = re.compile(rf"(?P<id>{_UUID}\.(?P<task>.+?))(?:\.scope)?")
_FARGATE = re.compile(r"[0-9a-f]{32}-[0-9]{6,}")
# podman's timer for a container's health check is a unit of the container's id and a number of its own.
_HEALTH_CHECK = re.compile(r"(?P<id>[0-9a-f]{64})-[0-9a-f]+\.(?:service|timer)")

_RUNTIME_OF_PREFIX = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "crio",
    "libpod": "podman",
    "libpod-payload": "podman",
    "kata": "kata",
    "kata_overhead": "kata",
}
_RUNTIME_OF_PARENT = {
    "docker": "docker",
    "moby": "docker",
    "containerd": "containerd",
    "default": "containerd",
    "k8s.io": "containerd",
    "libpod_parent": "podman",
    "kata_overhead": "kata",
}


def identify(path: str | None) -> Workload:
    """The workload that a cgroup belongs to; any string is answered, none raises.

    path: below the hierarchy's root, "/" for what is in the root itself, KERNEL_PATH for the kernel threads
    there, None for an id that was never seen.
    The deepest container, VM or pod wins, so Docker in Docker is the inner container and the units of a
    systemd inside a container are the container. Below none of them: the batch job, one workload a user, the
    deepest systemd unit that is not a slice, else "other". Forms: FIELD, "cgroups, containers, pods".
    """
    if path is None:
        return UNKNOWN
    if path == KERNEL_PATH:
        return KERNEL
    segments = _split(path)
    if not segments:
        return ROOT
    for depth in range(len(segments), 0, -1):
        upper = segments[:depth]
        workload = _container(upper) or _scheduled(upper) or _machine(upper) or _pod(upper)
        if workload is not None:
            return workload
    return _job(segments) or _user(segments) or _unit(segments) or _other(segments)


def as_label(name: str) -> str:
    r"""A name as os.fsdecode gives it, as valid Unicode: a byte that is not UTF-8 is written \xff.

    Whatever makes two names look alike makes one workload of them: no two series may have the same labels.
    """
    escaped = _ODD_BYTE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", name)
    return escaped.encode("utf-8", "replace").decode()


def pod_of(workload: Workload) -> Workload | None:
    """The pod that a container runs in, with its cgroup where the path has it; None for what is in no pod."""
    if workload.kind != "container" or not workload.pod_uid:
        return None
    segments = _split(workload.cgroup)
    depths = (d for d in range(len(segments), 0, -1) if _POD.search(segments[d - 1]))
    cgroup = _join(segments[: next(depths, len(segments))])
    return Workload("pod", workload.pod_uid, cgroup, pod_uid=workload.pod_uid)


def _split(path: str) -> Segments:
    if not path.isascii():
        path = as_label(path)
    return tuple(filter(None, path.split("/")))


def _join(segments: Segments) -> str:
    return "/" + "/".join(segments)


def _container(upper: Segments) -> Workload | None:
    name = upper[-1]
    match = _CONTAINER_ID.fullmatch(name) if len(name) >= 64 else None
    if match is None:
        return _lxc(upper) or _health_check(upper)
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
    if match is None and upper[-2:-1] not in (("lxc",), ("lxc.payload",)):
        return None
    return _named("container", upper, match["name"] if match else upper[-1], "lxc")


def _health_check(upper: Segments) -> Workload | None:
    match = _HEALTH_CHECK.fullmatch(upper[-1])
    return Workload("container", match["id"], _join(upper), "podman") if match else None


def _scheduled(upper: Segments) -> Workload | None:
    """What a scheduler of clusters gave an id of its own: Cloud Foundry, Nomad, Mesos, Fargate."""
    name, cgroup = upper[-1], _join(upper)
    if _GARDEN.fullmatch(name):
        return Workload("container", name, cgroup, "garden")
    if upper[0].startswith("nomad") and (match := _NOMAD.fullmatch(name)):
        return Workload("container", match["id"], cgroup, "nomad", name=match["task"])
    if upper[-2:-1] == ("mesos",) and _MESOS.fullmatch(name):
        return Workload("container", name, cgroup, "mesos")
    if upper[0] == "ecs" and _FARGATE.fullmatch(name):
        return Workload("container", name, cgroup, "ecs")
    return None


def _machine(upper: Segments) -> Workload | None:
    """A guest registered with systemd-machined, or as libvirt, Proxmox, Virtuozzo and Firecracker do it."""
    name = _unescape(upper[-1])
    if match := _LIBVIRT.fullmatch(name) or _LIBVIRT_WITHOUT_SYSTEMD.fullmatch(name):
        return _libvirt(match["driver"], upper, match["name"])
    if len(upper) == 3 and upper[0] == "libvirt" and upper[1] in ("qemu", "lxc"):
        return _libvirt(upper[1], upper, name)
    if upper[-2:-1] == ("qemu.slice",) and name.endswith(".scope"):
        return _named("vm", upper, name.removesuffix(".scope"), "kvm")
    if upper[:-1] == ("machine.slice",) and _VIRTUOZZO.fullmatch(name):
        return _named("container", upper, name, "virtuozzo")
    if upper[:-1] == ("firecracker",):
        return _named("vm", upper, name, "firecracker")
    if match := _NSPAWN.fullmatch(name):
        return _named("container", upper, match["scope"] or match["service"], "systemd-nspawn")
    return None


def _libvirt(driver: str, upper: Segments, name: str) -> Workload:
    return _named("container", upper, name, "lxc") if driver == "lxc" else _named("vm", upper, name, "kvm")


def _named(kind: Kind, upper: Segments, name: str, by: str) -> Workload:
    """What has a name and no id: the path is what no other has. by: its runtime, or hypervisor."""
    path = _join(upper)
    if kind == "vm":
        return Workload(kind, path, path, hypervisor=by, name=name)
    return Workload(kind, path, path, by, _pod_uid(upper), name=name)


def _job(segments: Segments) -> Workload | None:
    found = job_of(segments)
    return Workload("job", found.id, found.cgroup, found.manager) if found else None


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
            return _named_by_path("unit", tuple(map(without_generated, segments[:depth])))
    return None


def _other(segments: Segments) -> Workload:
    """The path, up to the first generated name below the top and to MAX_OTHER_DEPTH.

    A program that makes a cgroup per job must not make a series per job: its jobs are one workload.
    """
    generated = (d for d in range(1, len(segments)) if is_generated(segments[d]))
    kept = segments[: min(MAX_OTHER_DEPTH, next(generated, len(segments)))]
    return _named_by_path("other", tuple(map(without_generated, kept)))


def _named_by_path(kind: Kind, segments: Segments) -> Workload:
    path = _join(segments)
    return Workload(kind, path, path)


def _unescape(unit: str) -> str:
    r"""Undo systemd's escapes in a unit name: "qemu\x2d1\x2dweb" is "qemu-1-web" (systemd-escape(1))."""
    if "\\x" not in unit:
        return unit
    raw = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), unit.encode())
    return raw.decode("utf-8", "replace")
