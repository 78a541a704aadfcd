"""Batch jobs by their cgroups: one workload a job, whatever steps, tasks and containers it has."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """A job. id: what its users know it by. cgroup: the job's own; manager: who started it."""

    id: str
    cgroup: str
    manager: str


@dataclass(frozen=True, slots=True)
class _Form:
    """How a manager lays out its cgroups. path: from the top to the job's cgroup, with the job's `id`."""

    manager: str
    path: re.Pattern[str]


def _form(manager: str, path: str) -> _Form:
    return _Form(manager, re.compile(path))


_FORMS = (
    # cgroup/v2 (src/plugins/cgroup/v2) below slurmstepd's scope, cgroup/v1 below uid_N; the node's name comes
    # first or last where several slurmd share a host.
    _form("slurm", r"(?:/[^/]+)*/[^/]*slurmstepd\.scope/job_(?P<id>[^/]+)"),
    _form("slurm", r"(?:/[^/]+)*/slurm[^/]*(?:/[^/]+)*?/job_(?P<id>[^/]+)"),
    # container_e<epoch>_<cluster>_<application>_<attempt>_<container> (ConverterUtils, ContainerId.toString).
    _form("yarn", r"(?:/[^/]+)*/container_(?:e[0-9]+_)?(?P<id>[0-9]{10,}_[0-9]{4,})_(?:[0-9]+_[0-9]+|\*)"),
    _form("pbs", r"(?:/[^/]+)*/pbs_jobs(?:\.service|\.slice)?(?:/jobid)?/(?!jobid(?:/|\Z))(?P<id>[^/]+)"),
    _form("torque", r"/torque/(?P<id>[^/]+)"),
    _form("lsf", r"(?:/[^/]+)*/lsf/[^/]+/job\.(?P<id>[0-9]+(?:\[[0-9]+\])?)[^/]*"),
    _form("oar", r"/oar/[^/]+_(?P<id>[0-9]+)"),
    _form("sge", r"(?:/[^/]+)*/(?:sge|SGE|uge|UGE)(?:\.service|\.slice)?/(?P<id>[0-9]+)(?:\.[^/]*)?"),
    # A slot, which job follows job in: HTCondor's cgroups do not tell the job.
    _form("htcondor", r"(?:/[^/]+)*/(?:ht)?condor[^/]*/condor_[^/]*?(?P<id>slot[^/]+)"),
)


def job_of(segments: tuple[str, ...]) -> Job | None:
    """The batch job that a cgroup belongs to, or None. segments: of its path, from the root."""
    path = "/" + "/".join(segments)
    for form in _FORMS:
        match = form.path.match(path)
        if match and path[match.end() : match.end() + 1] in ("", "/"):
            return _job(form, match)
    return None


def _job(form: _Form, match: re.Match[str]) -> Job:
    if form.manager == "yarn":  # a job has many containers on a node: any of them stands for all
        cgroup = re.sub(r"_(?:[0-9]+_[0-9]+|\*)\Z", "_*", match[0])
        return Job(f"application_{match['id']}", cgroup, form.manager)
    return Job(match["id"], match[0], form.manager)
