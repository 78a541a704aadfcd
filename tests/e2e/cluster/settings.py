"""The files that the cluster's parts read."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.e2e.cluster import certificates
from tests.e2e.cluster.place import API_SERVER, NODE_IP, POD_RANGE, Place

PAUSE_IMAGE = "localhost/pause:1"


def write_all(place: Place) -> None:
    """Keys, kubeconfigs and configuration files, into the state directory."""
    for folder in (place.keys, place.static_pods, place.state / "cni"):
        folder.mkdir(parents=True)
    certificates.issue_all(place.keys)
    for identity in certificates.USERS:
        _write_yaml(place.keys / f"{identity.file}.kubeconfig", _kubeconfig(place, identity.file))
    _write_yaml(place.state / "kubelet.yaml", _kubelet(place))
    (place.state / "containerd.toml").write_text(_containerd(place))
    (place.state / "cni/10-pods.conflist").write_text(json.dumps(_pod_network(place)))


def _write_yaml(path: Path, content: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump(content))


def _kubeconfig(place: Place, user: str) -> dict[str, object]:
    cluster = {"server": API_SERVER, "certificate-authority": str(place.keys / "ca.crt")}
    pair = {
        "client-certificate": str(place.keys / f"{user}.crt"),
        "client-key": str(place.keys / f"{user}.key"),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": user, "user": pair}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": user}}],
        "current-context": "cluster",
    }


def _kubelet(place: Place) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "tlsCertFile": str(place.keys / "kubelet.crt"),
        "tlsPrivateKeyFile": str(place.keys / "kubelet.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(place.keys / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": place.cgroup_root,
        "failSwapOn": False,
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{place.containerd_socket}",
        "staticPodPath": str(place.static_pods),
        "podLogsDir": str(place.pod_logs),
        "fileCheckFrequency": "1s",
        "resolvConf": "",
        "clusterDNS": [NODE_IP],  # where a test may answer
        "clusterDomain": "cluster.local",
        "evictionHard": {"memory.available": "10Mi"},
        "localStorageCapacityIsolation": False,
    }


def _containerd(place: Place) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc fails with "can't get final child's PID".
    return f"""version = 2
root = "{place.state}/containerd/root"
state = "{place.state}/containerd/state"
[grpc]
address = "{place.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{place.state}/cni"
"""


def _pod_network(place: Place) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(place.state / "ipam"),
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [plugin]}
