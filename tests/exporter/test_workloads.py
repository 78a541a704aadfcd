"""Every form of cgroup path that the field has, and what it must be taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.workloads import KERNEL, UNKNOWN, Workload, identify, pod_of

ID = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970"
INNER = "0123456789abcdef" * 4
UID = "7e44ee88-1e65-4a16-8cdf-9a90c819180e"
UNDERSCORED = UID.replace("-", "_")
CONFIG_HASH = "d41d8cd98f00b204e9800998ecf8427e"
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice"

CONTAINERS = {
    f"/system.slice/docker-{ID}.scope": ("docker", ""),
    f"/docker/{ID}": ("docker", ""),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope": ("docker", ""),
    f"/system.slice/docker.service/docker/{ID}": ("docker", ""),
    f"/moby/{ID}": ("docker", ""),
    f"/ecs/5bd2c6a1/{ID}": ("", ""),
    f"/{ID}": ("", ""),
    f"/containerd-{ID}": ("containerd", ""),
    f"/default/{ID}": ("containerd", ""),
    f"/k8s.io/{ID}": ("containerd", ""),
    f"/system.slice/nerdctl-{ID}.scope": ("containerd", ""),
    f"/system.slice/cri-containerd-{ID}.scope": ("containerd", ""),
    f"/system.slice:cri-containerd:{ID}": ("containerd", ""),
    f"/system.slice/crio-{ID}.scope": ("crio", ""),
    f"/machine.slice/libpod-{ID}.scope": ("podman", ""),
    f"/machine.slice/libpod-{ID}.scope/container": ("podman", ""),
    f"/machine.slice/machine-libpod_pod_{INNER}.slice/libpod-{ID}.scope": ("podman", ""),
    f"/libpod_parent/libpod-{ID}": ("podman", ""),
    f"/libpod_parent/{INNER}/libpod-{ID}": ("podman", ""),
    f"/system.slice/web.service/libpod-payload-{ID}": ("podman", ""),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope": ("podman", ""),
    f"/kubepods/pod{UID}/{ID}": ("", UID),
    f"/kubepods/burstable/pod{UID}/{ID}": ("", UID),
    f"/kubepods/besteffort/pod{UID}/{ID}": ("", UID),
    f"/kubepods/burstable/pod{CONFIG_HASH}/{ID}": ("", CONFIG_HASH),
    f"/kubepods/burstable/pod{UID}/crio-{ID}": ("crio", UID),
    f"{BURSTABLE}/cri-containerd-{ID}.scope": ("containerd", UID),
    f"{BURSTABLE}/crio-{ID}.scope": ("crio", UID),
    f"{BURSTABLE}/docker-{ID}.scope": ("docker", UID),
    f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope": ("containerd", UID),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{CONFIG_HASH}.slice/crio-{ID}.scope": (
        "crio",
        CONFIG_HASH,
    ),
    f"/system.slice/containerd.service/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{ID}": (
        "containerd",
        UID,
    ),
    f"/k3s/kubepods/besteffort/pod{UID}/{ID}": ("", UID),
    f"/system.slice/rke2-server.service/kubepods/burstable/pod{UID}/{ID}": ("", UID),
    f"/kubelet/kubepods/besteffort/pod{UID}/{ID}": ("", UID),
    f"/docker/{INNER}/kubelet/kubepods/besteffort/pod{UID}/{ID}": ("", UID),
    f"/docker/{INNER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
    f"kubelet-kubepods-burstable-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope": ("containerd", UID),
    f"/docker/{INNER}/docker/{ID}": ("docker", ""),
    f"/kubepods/burstable/pod{UID}/{INNER}/docker/{ID}": ("docker", UID),
}

SYSTEMD_INSIDE = (
    "init.scope",
    "system.slice/ssh.service",
    "user.slice/user-1000.slice/session-1.scope",
    "libvirt/vcpu0",
    "container",
)


@pytest.mark.parametrize(("path", "expected"), CONTAINERS.items())
def test_a_container_is_known_by_its_64_digits(path: str, expected: tuple[str, str]) -> None:
    workload = identify(path)
    assert (workload.kind, workload.id) == ("container", ID)
    assert (workload.runtime, workload.pod_uid) == expected


@pytest.mark.parametrize("inside", SYSTEMD_INSIDE)
@pytest.mark.parametrize("path", CONTAINERS)
def test_what_lies_below_a_container_belongs_to_it(path: str, inside: str) -> None:
    assert identify(f"{path}/{inside}") == identify(path)


@pytest.mark.parametrize(
    ("path", "name", "runtime"),
    [
        ("/lxc/web", "web", "lxc"),
        ("/lxc/100/ns/system.slice/ssh.service", "100", "lxc"),
        ("/lxc.payload.web", "web", "lxc"),
        ("/lxc.payload/web/init.scope", "web", "lxc"),
        ("/machine.slice/machine-web.scope/payload", "web", "systemd-nspawn"),
        ("/machine.slice/systemd-nspawn@web.service/payload/init.scope", "web", "systemd-nspawn"),
        (r"/machine.slice/machine-lxc\x2d41\x2dweb\x2d1.scope", "web-1", "lxc"),
    ],
)
def test_system_containers_go_by_name(path: str, name: str, runtime: str) -> None:
    workload = identify(path)
    assert (workload.kind, workload.id, workload.runtime) == ("container", name, runtime)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (r"/machine.slice/machine-qemu\x2d1\x2dname.scope", "name"),
        (r"/machine.slice/machine-qemu\x2d12\x2ddb\x2d3.scope/libvirt/vcpu0", "db-3"),
        (r"/machine.slice/machine-qemu\x2d2\x2dqemu\x2d7\x2dodd.scope/libvirt/emulator", "qemu-7-odd"),
        (r"/machine.slice/machine-qemu\x2d2\x2dcaf\xc3\xa9.scope", "café"),
        ("/machine/qemu-3-web.libvirt-qemu/vcpu1", "web"),
        ("/qemu.slice/101.scope", "101"),
    ],
)
def test_a_guest_goes_by_the_name_its_owner_gave_it(path: str, name: str) -> None:
    workload = identify(path)
    assert (workload.kind, workload.id, workload.hypervisor) == ("vm", name, "kvm")


@pytest.mark.parametrize(
    ("path", "uid", "cgroup"),
    [
        (f"/kubepods/burstable/pod{UID}", UID, f"/kubepods/burstable/pod{UID}"),
        (f"/kubepods/pod{CONFIG_HASH}", CONFIG_HASH, f"/kubepods/pod{CONFIG_HASH}"),
        (BURSTABLE, UID, BURSTABLE),
        (f"{BURSTABLE}/crio-conmon-{ID}.scope", UID, BURSTABLE),
        (f"/docker/{INNER}/kubelet/kubepods/pod{UID}", UID, f"/docker/{INNER}/kubelet/kubepods/pod{UID}"),
    ],
)
def test_a_pods_own_cgroup_is_the_pod(path: str, uid: str, cgroup: str) -> None:
    assert identify(path) == Workload("pod", uid, cgroup, pod_uid=uid)


@pytest.mark.parametrize(
    ("path", "kind", "named_by"),
    [
        ("/init.scope", "unit", "/init.scope"),
        ("/system.slice/ssh.service", "unit", "/system.slice/ssh.service"),
        ("/system.slice/ssh.service/worker/3", "unit", "/system.slice/ssh.service"),
        ("/system.slice/a.service/b.scope/c", "unit", "/system.slice/a.service/b.scope"),
        (
            r"/system.slice/system-getty.slice/getty@tty1.service",
            "unit",
            "/system.slice/system-getty.slice/getty@tty1.service",
        ),
        ("/system.slice/docker.socket", "unit", "/system.slice/docker.socket"),
        ("/dev-hugepages.mount", "unit", "/dev-hugepages.mount"),
        (f"/system.slice/{ID}.service", "unit", f"/system.slice/{ID}.service"),
        (f"/system.slice/crio-conmon-{ID}.scope", "unit", f"/system.slice/crio-conmon-{ID}.scope"),
        (f"/machine.slice/libpod-conmon-{ID}.scope", "unit", f"/machine.slice/libpod-conmon-{ID}.scope"),
        ("/system.slice/web.service/supervisor", "unit", "/system.slice/web.service"),
        ("/user.slice/user-1000.slice", "user", "/user.slice/user-1000.slice"),
        ("/user.slice/user-0.slice/session-3.scope", "user", "/user.slice/user-0.slice"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope",
            "user",
            "/user.slice/user-1000.slice",
        ),
        ("/user.slice", "other", "/user.slice"),
        ("/system.slice", "other", "/system.slice"),
        ("/kubepods.slice/kubepods-besteffort.slice", "other", "/kubepods.slice/kubepods-besteffort.slice"),
        ("/kubepods/burstable", "other", "/kubepods/burstable"),
        ("/libpod_parent/conmon", "other", "/libpod_parent/conmon"),
        (f"/libpod_parent/{ID}", "other", "/libpod_parent"),
        ("/lxc.monitor.web", "other", "/lxc.monitor.web"),
        ("/jobs/nightly", "other", "/jobs/nightly"),
    ],
)
def test_the_rest_of_the_host_goes_by_path(path: str, kind: str, named_by: str) -> None:
    workload = identify(path)
    assert (workload.kind, workload.id, workload.cgroup) == (kind, named_by, named_by)


@pytest.mark.parametrize(
    "job", [f"{UID}/step", CONFIG_HASH, "c3e3283b37e3f8e4", "w7i6nmzf6v8b0yq8r1p2d3k4s", f"{ID[:-1]}/x/y"]
)
def test_a_cgroup_per_job_is_not_a_series_per_job(job: str) -> None:
    assert identify(f"/builder/{job}").id == "/builder"


def test_other_paths_are_cut_at_a_depth() -> None:
    assert identify("/a/b/c/d/e/f").id == "/a/b/c/d"


def test_the_root_cgroup_is_the_kernel() -> None:
    assert identify("/") == identify("") == KERNEL


def test_an_id_never_seen_is_other_unknown() -> None:
    assert identify(None) == UNKNOWN
    assert UNKNOWN.key == ("other", "unknown")


def test_a_container_knows_its_pod_and_agrees_with_the_pods_own_cgroup() -> None:
    container = identify(f"{BURSTABLE}/cri-containerd-{ID}.scope/init.scope")
    assert pod_of(container) == identify(BURSTABLE)


def test_only_containers_in_pods_have_a_pod() -> None:
    assert pod_of(identify(f"/docker/{ID}")) is None
    assert pod_of(identify(BURSTABLE)) is None


def test_a_label_is_always_valid_unicode() -> None:
    assert identify("/jobs/\udcff").id == "/jobs/?"


SEGMENT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [ID, f"docker-{ID}.scope", f"pod{UID}", "kubepods", "user.slice", "user-0.slice", "a.service", "lxc"]
    ),
    st.sampled_from([r"machine-\x2d.scope", r"machine-qemu\x2d1\x2d\xff.scope", "lxc.payload.", "..", "\n"]),
)


@given(st.one_of(st.text(), st.lists(SEGMENT).map("/".join)))
def test_any_string_is_answered(path: str) -> None:
    workload = identify(path)
    assert workload.id
    workload.id.encode()


@given(st.lists(SEGMENT).map("/".join))
def test_the_cgroup_that_names_a_workload_is_that_workload(path: str) -> None:
    workload = identify(path)
    assert identify(workload.cgroup) == workload


@given(st.sampled_from(sorted(CONTAINERS)), st.lists(st.text("abc.-\n", min_size=1), max_size=4))
def test_anything_below_a_container_is_the_container(path: str, below: list[str]) -> None:
    assert identify("/".join([path, *below])) == identify(path)
