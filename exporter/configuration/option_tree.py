"""The sections of the configuration: every option but the few at the top, written down once."""

# ruff: noqa: RUF009 - option() is dataclasses.field with the option beside it

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.configuration.options import option
from exporter.configuration.value_types import (
    addresses,
    boolean,
    choice,
    choices,
    duration,
    integer,
    optional,
    optional_path,
    path,
    pod_labels,
    text,
    watts,
)

# What a RAPL tree can hold; ports of other meters have zones of their own (estimator.meters.port.ZONES).
RAPL_ZONES = ("package", "core", "uncore", "dram", "psys")
LEVELS = ("node", "process", "container", "vm", "pod")


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, to stderr."""

    level: str = option(
        "log.level",
        choice("debug", "info", "warning", "error", aliases={"warn": "warning"}),
        "info",
        "Least severity that is logged",
        reloadable=True,
    )
    format: str = option(
        "log.format",
        choice("text", "json"),
        "text",
        "One line of text or one JSON object an entry",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class Host:
    """Where the host's file systems are mounted, for running in a container."""

    sysfs: Path = option("host.sysfs", path(), Path("/sys"), "Where the host's sysfs is mounted")
    procfs: Path = option("host.procfs", path(), Path("/proc"), "Where the host's procfs is mounted")
    cgroupfs: Path = option(
        "host.cgroupfs", path(), Path("/sys/fs/cgroup"), "Where the host's cgroup file systems are mounted"
    )
    powercap: Path | None = option(
        "host.powercap",
        optional_path(),
        None,
        "Where the host's class/powercap is mounted; containers see their own sysfs without it",
        default_description="class/powercap in host.sysfs",
    )


@dataclass(frozen=True, slots=True)
class Monitor:
    """The tick."""

    interval_seconds: float = option(
        "monitor.interval", duration(minimum=0.1), 5.0, "Time between two measurements", reloadable=True
    )
    terminated_ttl_seconds: float = option(
        "monitor.terminatedTTL",
        duration(),
        300.0,
        "How long the energy of a workload that ended stays exported",
        flag="--monitor.terminated-ttl",
        reloadable=True,
    )
    idle_policy: str = option(
        "monitor.idlePolicy",
        choice("none", "proportional", "even", "requests"),
        "none",
        "How idle energy is shared out, in a family of its own; requests: by the CPU requests of containers",
    )


@dataclass(frozen=True, slots=True)
class Rapl:
    """The RAPL meter."""

    zones: tuple[str, ...] = option(
        "rapl.zones", choices(*RAPL_ZONES, empty="every zone there is"), (), "Zones that are read"
    )


@dataclass(frozen=True, slots=True)
class Ebpf:
    """The kernel's side."""

    loader: str = option(
        "ebpf.loader",
        choice("auto", "core", "bcc", "none"),
        "auto",
        "How the BPF program is loaded; none reads cpu.stat instead, auto takes the first that works",
    )
    cgroup_hierarchy: str = option(
        "ebpf.cgroupHierarchy",
        choice("auto", "v2", "v1"),
        "auto",
        "Which cgroup hierarchy is followed; auto takes v1 where the cpu controller is mounted as v1",
    )
    map_entries: int = option(
        "ebpf.mapEntries", integer(64, 1_048_576), 16_384, "Most cgroups the kernel's map holds at a time"
    )
    btf: Path | None = option(
        "ebpf.btf",
        optional_path(),
        None,
        "File with the kernel's types (BTF), unpacked, for kernels without /sys/kernel/btf/vmlinux",
        default_description="the kernel's own",
    )
    pin: Path | None = option(
        "ebpf.pin",
        optional_path(),
        None,
        "Directory on a bpffs where programs and counts stay while podjoule is down; see state.dir",
        default_description="nothing stays",
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine is, where it does not say so itself."""

    instance_type: str | None = option(
        "machine.instanceType",
        optional(text("an instance type such as m7i.4xlarge, n2-standard-8 or Standard_D8s_v5")),
        None,
        "The cloud's instance type, which tells the CPU where a hypervisor hides it",
        flag="--machine.instance-type",
        default_description="what DMI says on AWS",
    )


@dataclass(frozen=True, slots=True)
class Anchors:
    """What the machine draws, where somebody knows: a wall meter's reading, or its data sheet."""

    idle_watts: float | None = option(
        "anchors.idleWatts",
        watts(),
        None,
        "Power of the whole machine when idle, for the model in a meter's stead; with the one at full load",
        flag="--model.idle-watts",
        default_description="not known",
    )
    full_watts: float | None = option(
        "anchors.fullWatts",
        watts(),
        None,
        "Power of the whole machine at full load",
        flag="--model.full-watts",
        default_description="not known",
    )


@dataclass(frozen=True, slots=True)
class State:
    """What outlives the process."""

    dir: Path | None = option(
        "state.dir",
        optional_path(),
        None,
        "Where counters and what was learned are kept over a restart; empty for nowhere",
        default_description="nowhere",
    )


@dataclass(frozen=True, slots=True)
class Web:
    """The web server."""

    listen_addresses: tuple[str, ...] = option(
        "web.listenAddresses",
        addresses(),
        (":28283",),
        "Address to listen on; may be given more than once",
        flag="--web.listen-address",
    )
    config_file: Path | None = option(
        "web.configFile",
        optional_path(),
        None,
        "File in exporter-toolkit's format with TLS, users and headers",
        flag="--web.config.file",
        default_description="plain HTTP for everybody",
    )
    max_requests: int = option(
        "web.maxRequests", integer(1, 10_000), 40, "Most requests that are answered at a time; others get 503"
    )


@dataclass(frozen=True, slots=True)
class Prometheus:
    """What is exported."""

    metrics_level: tuple[str, ...] = option(
        "exporter.prometheus.metricsLevel",
        choices(*LEVELS, empty=""),
        tuple(level for level in LEVELS if level != "process"),
        "Levels that are exported; may be given more than once or with commas",
        flag="--metrics.level",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class Exporters:
    """Ways out of the exporter, as Kepler groups them."""

    prometheus: Prometheus = field(default_factory=Prometheus)


def _kubelet_address(environ: Mapping[str, str]) -> str:
    host = environ.get("NODE_IP") or environ.get("NODE_NAME") or os.uname().nodename
    return f"https://[{host}]:10250" if ":" in host else f"https://{host}:10250"


@dataclass(frozen=True, slots=True)
class Kube:
    """Kubernetes."""

    node_name: str = option(
        "kube.nodeName",
        text("a node's name"),
        "",
        "Name of this node: the label node_name, and whose pods are asked for",
        fallback=lambda environ: environ.get("NODE_NAME") or os.uname().nodename,
        default_description="$NODE_NAME, else the host's name",
    )
    enabled: str = option(
        "kube.enabled",
        choice("auto", "true", "false"),
        "auto",
        "Whether Kubernetes is asked for the names of pods; auto: in a pod, or with kube.config",
    )
    mode: str = option(
        "kube.mode",
        choice("apiserver", "kubelet"),
        "apiserver",
        "Who is asked: the API server, by a watch, or this node's kubelet, by polling",
    )
    config: Path | None = option(
        "kube.config",
        optional_path(),
        None,
        "Kubeconfig file, for running outside of a pod",
        default_description="the pod's service account",
    )
    kubelet_address: str = option(
        "kube.kubeletAddress",
        text("an address such as https://10.0.0.1:10250"),
        "",
        "Where the kubelet is asked in kubelet mode",
        fallback=_kubelet_address,
        default_description="port 10250 of $NODE_IP, else of the host's name",
    )
    kubelet_ca: Path | None = option(
        "kube.kubeletCA",
        optional_path(),
        None,
        "CA certificate by which the kubelet's own is verified",
        flag="--kube.kubelet-ca",
        default_description="the cluster's CA",
    )
    kubelet_insecure: bool = option(
        "kube.kubeletInsecure",
        boolean(),
        False,
        "Take any certificate from the kubelet: whoever answers at its address is believed",
    )
    pod_resources: Path = option(
        "kube.podResources",
        path(),
        Path("/var/lib/kubelet/pod-resources/kubelet.sock"),
        "Socket of the kubelet's PodResources, which is asked which pod holds which GPU where there is one",
    )
    read_node: bool = option(
        "kube.readNode",
        boolean(),
        False,
        "Ask the API server once for this node's label of its instance type, where no meter is and neither"
        " machine.instanceType nor DMI tells it; the account needs the verb get on nodes",
    )
    pod_labels: tuple[str, ...] = option(
        "kube.podLabels",
        pod_labels(),
        (),
        "Pod labels that podjoule_pod_info carries as label_NAME; may be given more than once",
        flag="--kube.pod-label",
    )
    names_timeout_seconds: float = option(
        "kube.namesTimeout",
        duration(),
        600.0,
        "How long series of pods wait for their names while Kubernetes does not answer; once it does, 30 s",
        reloadable=True,
    )
