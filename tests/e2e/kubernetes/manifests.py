"""Kubernetes objects as plain dictionaries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.cluster.images import BUSYBOX_IMAGE

Manifest = dict[str, Any]
_LOAD = (Path(__file__).parent / "load.sh").read_text()


def container(name: str, millicores: int, seconds: int | None = None) -> Manifest:
    """One that uses so much of a CPU by load.sh, for so long; and asks for as much, to get it."""
    arguments = [str(millicores)] + ([] if seconds is None else [str(seconds)])
    return {
        "name": name,
        "image": BUSYBOX_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", _LOAD, "load.sh", *arguments],
        "resources": {"requests": {"cpu": f"{millicores}m"}},
    }


def pod_spec(*containers: Manifest, init: Sequence[Manifest] = (), restart: str = "Always") -> Manifest:
    return {
        "containers": list(containers),
        "initContainers": list(init),
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


def _controlled(name: str, spec: Manifest) -> Manifest:
    labels: Mapping[str, str] = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}


def _object(version: str, kind: str, namespace: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
