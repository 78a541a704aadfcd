"""Every form of cgroup path that the field has, and what it must be taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.cgroups import KERNEL_PATH
from exporter.names.workloads import KERNEL, ROOT, UNKNOWN, Workload, identify, pod_of

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
        ("/machine/web.libvirt-lxc", "web", "lxc"),
        ("/machine.slice/1234/init.scope", "1234", "virtuozzo"),
    ],
)
def test_system_containers_have_a_name_and_go_by_their_path(path: str, name: str, runtime: str) -> None:
    workload = identify(path)
    assert (workload.kind, workload.name, workload.runtime) == ("container", name, runtime)
    assert workload.id == workload.cgroup
    assert path.startswith(workload.cgroup)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (r"/machine.slice/machine-qemu\x2d1\x2dname.scope", "name"),
        (r"/machine.slice/machine-qemu\x2d12\x2ddb\x2d3.scope/libvirt/vcpu0", "db-3"),
        (r"/machine.slice/machine-qemu\x2d2\x2dqemu\x2d7\x2dodd.scope/libvirt/emulator", "qemu-7-odd"),
        (r"/machine.slice/machine-qemu\x2d2\x2dcaf\xc3\xa9.scope", "café"),
        ("/machine/qemu-3-web.libvirt-qemu/vcpu1", "web"),
        ("/machine/prod.partition/web.libvirt-qemu/vcpu0", "web"),
        ("/libvirt/qemu/web/emulator", "web"),
        ("/qemu.slice/101.scope", "101"),
    ],
)
def test_a_guest_goes_by_the_name_its_owner_gave_it(path: str, name: str) -> None:
    workload = identify(path)
    assert (workload.kind, workload.name, workload.hypervisor) == ("vm", name, "kvm")


@pytest.mark.parametrize(
    "paths",
    [
        ("/lxc.payload.a/lxc.payload.web", "/lxc.payload.b/lxc.payload.web", "/x.slice/machine-web.scope"),
        (
            r"/machine.slice/machine-qemu\x2d1\x2dweb.scope",
            r"/user.slice/user-1.slice/user@1.service/machine.slice/machine-qemu\x2d1\x2dweb.scope",
        ),
        ("/machine/web.libvirt-qemu", "/machine/prod.partition/web.libvirt-qemu"),
        ("/firecracker/web", "/qemu.slice/web.scope", "/libvirt/qemu/web"),
    ],
)
def test_two_of_one_name_are_two(paths: tuple[str, ...]) -> None:
    found = [identify(path) for path in paths]
    assert {workload.name for workload in found} == {"web"}
    assert len({workload.key for workload in found}) == len(paths)


ALLOCATION = f"{UID}.web"
TASK = "0123456789abcdef" * 2 + "-1234567890"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/garden/1f2e3d4c-1111-2222-3333-4444", ("1f2e3d4c-1111-2222-3333-4444", "garden", "")),
        ("/garden-good/bad/1f2e3d4c-1111-2222-3333-4444/x", ("1f2e3d4c-1111-2222-3333-4444", "garden", "")),
        (f"/nomad.slice/share.slice/{ALLOCATION}.scope", (ALLOCATION, "nomad", "web")),
        (f"/nomad/reserve/{ALLOCATION}", (ALLOCATION, "nomad", "web")),
        (f"/nomad.slice/share.slice/{ALLOCATION}.scope/{ID}", (ID, "", "")),
        (f"/mesos/{UID}", (UID, "mesos", "")),
        (f"/ecs/{TASK[:32]}/{TASK}", (TASK, "ecs", "")),
        (f"/system.slice/{ID}-7f3a91c2d4e5b6a7.service", (ID, "podman", "")),
        (f"/kata_overhead/{ID}", (ID, "kata", "")),
    ],
)
def test_a_container_of_a_scheduler_goes_by_its_id(path: str, expected: tuple[str, str, str]) -> None:
    workload = identify(path)
    assert workload.kind == "container"
    assert (workload.id, workload.runtime, workload.name) == expected


SLURM = "/system.slice/slurmstepd.scope"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{SLURM}/job_55803/step_0/user/task_0", "55803"),
        (f"{SLURM}/job_55803/step_extern", "55803"),
        ("/system.slice/node1_slurmstepd.scope/job_1/step_batch/user/task_special", "1"),
        ("/slurm/uid_1000/job_55803/step_1/task_0", "55803"),
        ("/slurm_node1/uid_1000/job_1/step_batch", "1"),
        ("/hadoop-yarn/container_e17_1410901177871_0001_01_000005", "application_1410901177871_0001"),
        ("/yarn/nm/container_1410901177871_0002_01_000001", "application_1410901177871_0002"),
        ("/pbs_jobs/123.server1", "123.server1"),
        ("/pbs_jobs.service/jobid/123[7].server1", "123[7].server1"),
        ("/torque/77.head", "77.head"),
        ("/lsf/cluster1/job.1234.19283.1690000000", "1234"),
        ("/lsf/cluster1/job.1234[5].19283.1690000000", "1234[5]"),
        ("/oar/anna_4711", "4711"),
        ("/sge/4711.1", "4711"),
        ("/htcondor/condor_var_lib_condor_execute_slot1_1@host", "slot1_1@host"),
        ("/system.slice/condor.service/condor_scratch_slot1_2@host", "slot1_2@host"),
    ],
)
def test_a_batch_job_goes_by_its_own_id(path: str, expected: str) -> None:
    workload = identify(path)
    assert (workload.kind, workload.id) == ("job", expected)
    assert identify(workload.cgroup) == workload


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{SLURM}/job_1/step_0/user/task_0", f"{SLURM}/job_1/step_1/user/task_3"),
        ("/slurm/uid_7/job_1/step_0/task_0", "/slurm/uid_7/job_1/step_1"),
        (
            "/hadoop-yarn/container_e17_1410901177871_0001_01_000005",
            "/hadoop-yarn/container_e17_1410901177871_0001_02_000001",
        ),
    ],
)
def test_the_steps_of_a_job_are_one(one: str, other: str) -> None:
    assert identify(one) == identify(other)


def test_a_container_that_a_job_starts_is_itself_and_a_job_inside_a_container_is_not() -> None:
    assert identify(f"{SLURM}/job_1/step_0/docker/{ID}").id == ID
    assert identify(f"/docker/{ID}/slurm/uid_0/job_1").id == ID


def test_what_slurm_itself_does_is_its_unit() -> None:
    assert identify(f"{SLURM}/system").key == ("unit", SLURM)


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        (f"run-r{CONFIG_HASH}.scope", "run-*.scope"),
        ("run-u4711.service", "run-*.service"),
        ("run-p4242-i4243.scope", "run-*.scope"),
        ("run-4242.scope", "run-*.scope"),
        ("apptainer-1234.scope", "apptainer-*.scope"),
        (f"tmux-spawn-{UID}.scope", "tmux-spawn-*.scope"),
        (
            rf"run-docker-runtime\x2drunc-moby-{ID}-runc.Ab12Cd.mount",
            r"run-docker-runtime\x2drunc-moby-*-runc.*.mount",
        ),
        (f"var-lib-docker-containers-{ID}-mounts-shm.mount", "var-lib-docker-containers-*-mounts-shm.mount"),
        ("sshd@7-10.0.0.1:22-10.0.0.9:50514.service", "sshd@*.service"),
        ("sshd@12-fd00::1:22-fd00::9:50514.service", "sshd@*.service"),
        ("systemd-coredump@3-4711-0.service", "systemd-coredump@*.service"),
    ],
)
def test_what_a_program_made_up_is_no_part_of_a_units_name(name: str, folded: str) -> None:
    workload = identify(f"/system.slice/{name}")
    assert (workload.kind, workload.id) == ("unit", f"/system.slice/{folded}")


@pytest.mark.parametrize(
    "name",
    [
        *("ssh.service", "getty@tty1.service", "postgresql@14-main.service", "user@1000.service"),
        *(
            "redis@6379.service",
            "app-8080.service",
            "run-backup.service",
            "deadbeef.service",
            "ipp-usb.service",
        ),
    ],
)
def test_what_a_person_wrote_stays(name: str) -> None:
    assert identify(f"/system.slice/{name}").id == f"/system.slice/{name}"


def test_a_thousand_transient_scopes_are_one_series() -> None:
    names = (f"/system.slice/run-r{number:032x}.scope" for number in range(1_000))
    assert {identify(name).id for name in names} == {"/system.slice/run-*.scope"}


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
        (f"/system.slice/{ID}.service/x", "unit", "/system.slice/*.service"),
        (f"/system.slice/crio-conmon-{ID}.scope", "unit", "/system.slice/crio-conmon-*.scope"),
        (f"/machine.slice/libpod-conmon-{ID}.scope", "unit", "/machine.slice/libpod-conmon-*.scope"),
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
    "job",
    [f"{UID}/step", CONFIG_HASH, "c3e3283b37e3f8e4", "w7i6nmzf6v8b0yq8r1p2d3k4s", f"{ID[:-1]}/x/y", "104711"],
)
def test_a_cgroup_per_job_is_not_a_series_per_job(job: str) -> None:
    assert identify(f"/builder/{job}").id == "/builder"


def test_other_paths_are_cut_at_a_depth() -> None:
    assert identify("/a/b/c/d/e/f").id == "/a/b/c/d"


def test_kernel_threads_alone_are_the_kernel_in_the_root() -> None:
    assert identify("/") == identify("") == ROOT
    assert identify(KERNEL_PATH) == KERNEL
    assert ROOT.key != KERNEL.key


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
    assert identify("/jobs/\udcff").id == r"/jobs/\xff"
    assert identify("/jobs/\udcfe").id == r"/jobs/\xfe"
    assert identify("/jobs/\ud800").id == "/jobs/?"


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
