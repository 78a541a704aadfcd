"""What a person made, by the name of a pod's controller; the controllers themselves are not asked for."""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from time import strptime

# The CronJob controller names a Job by the unix minute it was due at (getJobName, since Kubernetes 1.21).
_CRON = re.compile(r"(?P<name>.+)-(?P<minute>[0-9]{8,9})", re.ASCII | re.DOTALL)
_EARLY_MINUTES, _LATE_MINUTES = 24 * 60, 366 * 24 * 60


@dataclass(frozen=True, slots=True)
class Owner:
    """A pod's controller; both empty without one."""

    kind: str = ""
    name: str = ""


def workload_of(owner: Owner, pod: Owner, labels: Mapping[str, object], created: str) -> Owner:
    """The Deployment above a ReplicaSet, the CronJob above a Job, else the owner; the pod without one.

    pod: as an owner of itself. created: the pod's creationTimestamp. A static pod belongs to its node in the
    API, but nobody made the node for it: it is its own workload.
    """
    if owner.kind == "ReplicaSet":
        return _above_replica_set(owner, labels.get("pod-template-hash"))
    if owner.kind == "Job":
        return _above_job(owner, created)
    return pod if owner.kind in ("", "Node") else owner


def _above_replica_set(owner: Owner, template_hash: object) -> Owner:
    if isinstance(template_hash, str) and template_hash:
        name = owner.name.removesuffix(f"-{template_hash}")
        if name and name != owner.name:
            return Owner("Deployment", name)
    return owner


def _above_job(owner: Owner, created: str) -> Owner:
    """A name that ends in a date, as in backup-20260131, is no CronJob's: that minute was long ago."""
    match, minute = _CRON.fullmatch(owner.name), _unix_minute(created)
    if match and minute is not None:
        age = minute - int(match["minute"])
        if -_EARLY_MINUTES <= age <= _LATE_MINUTES:
            return Owner("CronJob", match["name"])
    return owner


def _unix_minute(created: str) -> int | None:
    try:
        return timegm(strptime(created, "%Y-%m-%dT%H:%M:%SZ")) // 60
    except ValueError:
        return None
