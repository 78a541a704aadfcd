"""Kubernetes objects as plain dictionaries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.cluster.images import BUSYBOX_IMAGE

Manifest = dict[str, Any]
_LOAD = (Path(__file__).parent / "load.sh").read_text()
_PREFERRED = {"resources": {"requests": {"cpu": "300m"}}}
_TOLD = "/shared/used-us"
_MOUNT = {"name": "shared", "mountPath": "/shared"}


def container(name: str, millicores: int, seconds: int | None = None) -> Manifest:
    """One that uses so much of a CPU by load.sh, for so long; and asks for as much, to get it."""
    arguments = [str(millicores)] + ([] if seconds is None else [str(seconds)])
    return {
        "name": name,
        "image": BUSYBOX_IMAGE,
        "imagePullPolicy": "Never",
        "command": _load(*arguments),
        "resources": {"requests": {"cpu": f"{millicores}m"}},
    }


def telling(container: Manifest) -> Manifest:
    """The same, and it tells its CPU time to who follows it; both in pods with the same `shared` folder.

    Both ask for more than they use: on a busy machine neither is to fall behind.
    """
    return {**container, **_PREFERRED, "env": [{"name": "TELL", "value": _TOLD}], "volumeMounts": [_MOUNT]}


def following(container: Manifest) -> Manifest:
    """The same, but it uses half of what the telling one does, whatever the machine allows that."""
    return {**container, **_PREFERRED, "command": _load("half-of", _TOLD), "volumeMounts": [_MOUNT]}


def pod_spec(
    *containers: Manifest, init: Sequence[Manifest] = (), restart: str = "Always", shared: Path | None = None
) -> Manifest:
    """shared: a folder of the node's, for containers that mount it."""
    path = {"name": "shared", "hostPath": {"path": str(shared), "type": "Directory"}}
    return {
        "containers": list(containers),
        "initContainers": list(init),
        "volumes": [path] if shared else [],
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }


def pod(namespace: str, name: str, spec: Manifest) -> Manifest:
    return _object("v1", "Pod", namespace, name, spec)


def deployment(namespace: str, name: str, spec: Manifest) -> Manifest:
    return _object("apps/v1", "Deployment", namespace, name, _controlled(name, spec))


def stateful_set(namespace: str, name: str, spec: Manifest) -> Manifest:
    return _object(
        "apps/v1", "StatefulSet", namespace, name, {**_controlled(name, spec), "serviceName": name}
    )


def cron_job(namespace: str, name: str, spec: Manifest) -> Manifest:
    """Every minute."""
    job = {"spec": {"template": {"spec": spec}}}
    return _object("batch/v1", "CronJob", namespace, name, {"schedule": "* * * * *", "jobTemplate": job})


def listed(manifests: Sequence[Manifest]) -> str:
    """As `kubectl apply -f -` takes them."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def _load(*arguments: str) -> list[str]:
    return ["sh", "-c", _LOAD, "load.sh", *arguments]


def _controlled(name: str, spec: Manifest) -> Manifest:
    labels: Mapping[str, str] = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}


def _object(version: str, kind: str, namespace: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
