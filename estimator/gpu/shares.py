"""Whose energy a GPU's is: idle and active, its instances, the processes that kept them busy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimator.attribution.idle import IdleSplit, split_idle, two_parts
from estimator.attribution.shares import NO_USAGE, SUSPENDED
from estimator.energy import ZoneEnergy, ZoneShare
from estimator.gpu.activity import NOTHING, Activity, Process
from estimator.gpu.port import Instance

UNKNOWN_PROCESS = "unknown_process"


@dataclass(frozen=True, slots=True)
class PlaceEnergy:
    """The energy of a GPU or of an instance: its two parts, and what ran there meanwhile."""

    energy: ZoneEnergy
    split: IdleSplit
    activity: Activity


def split_gpu(energy: ZoneEnergy, activity: Activity, ratio: float) -> IdleSplit:
    """The energy of a GPU while the machine was awake, by its idle power; while that is not known, by use.

    ratio: how busy it was, 0 to 1. energy.idle_watts: None while it is not known.
    """
    awake = two_parts(energy.joules, energy.suspended_joules)[1]
    if activity.is_unused:
        return IdleSplit(awake, 0.0, "unused")
    return split_idle(awake, energy.idle_watts, energy.awake_seconds, ratio)


def busy_ratio(activity: Activity) -> float:
    """How busy a place was, 0 to 1. Where nobody says, one that is held is taken to be busy throughout."""
    if activity.seconds <= 0:
        return 0.0
    if activity.busy_seconds is not None:
        return min(1.0, activity.busy_seconds / activity.seconds)
    return 0.0 if activity.is_unused else 1.0


def divide(
    whole: PlaceEnergy, instances: Sequence[Instance], activities: Mapping[str, Activity]
) -> list[PlaceEnergy]:
    """The energy of a GPU by instance, and last, under its own path, what is none of theirs.

    Idle energy goes by what each has of the GPU, active energy by that times how busy it was.
    """
    ran = {each.uuid: activities.get(each.uuid, NOTHING) for each in instances}
    weights = np.array([each.share * busy_ratio(ran[each.uuid]) for each in instances])
    total = float(weights.sum())
    active = whole.split.active * (weights / total) if total > 0 else np.zeros(len(weights))
    idle = whole.split.idle * np.array([each.share for each in instances])
    if (taken := float(idle.sum())) > whole.split.idle:
        idle = idle / taken * whole.split.idle
    found = [
        _part(whole, each.uuid, float(i), float(a), ran[each.uuid])
        for each, i, a in zip(instances, idle, active, strict=True)
    ]
    rest_idle = max(0.0, whole.split.idle - float(idle.sum()))
    rest_active = 0.0 if total > 0 else whole.split.active
    rest = _part(whole, whole.energy.path, rest_idle, rest_active, NOTHING, whole.energy.suspended_joules)
    return [*found, rest]


def share_place(
    place: PlaceEnergy, rows: Mapping[Process, int], holders: Sequence[int], n_rows: int
) -> ZoneShare:
    """Share out what a place drew above idling among who kept it busy, and where nobody did, who held it.

    rows: of each process, in the tick's usage of n_rows. holders: rows of the pods that have reserved it:
    theirs is in equal parts what no known process drew. Σ cgroups + unattributed + idle == joules.
    """
    activity, active = place.activity, place.split.active
    weights, unknown = _weights(activity)
    total = sum(weights.values()) + unknown
    cgroup_joules = np.zeros(n_rows)
    for process, weight in weights.items():
        cgroup_joules[rows[process]] += active * (weight / total)
    left = active * (unknown / total) if total > 0 else active
    for row in holders:
        cgroup_joules[row] += left / len(holders)
    nobody = UNKNOWN_PROCESS if activity.is_unknown or activity.untold_seconds else NO_USAGE
    unattributed = {NO_USAGE: 0.0, UNKNOWN_PROCESS: 0.0, SUSPENDED: place.energy.suspended_joules}
    unattributed[nobody] += 0.0 if holders else left
    return ZoneShare(place.energy, place.split.idle, place.split.method, cgroup_joules, unattributed)


def _weights(activity: Activity) -> tuple[Mapping[Process, float], float]:
    """By process, and of those that are not known. A context alone keeps a GPU from its deepest rest: where
    nobody computes, it is who holds one, each alike."""
    untold = activity.untold_seconds
    if not any(activity.busy.values()) and not activity.unknown_seconds:
        each = (activity.seconds - untold) / max(1, len(activity.busy) + activity.is_unknown)
        return dict.fromkeys(activity.busy, each), untold + (each if activity.is_unknown else 0.0)
    return activity.busy, activity.unknown_seconds + untold


def _part(
    whole: PlaceEnergy, path: str, idle: float, active: float, activity: Activity, suspended: float = 0.0
) -> PlaceEnergy:
    joules = idle + active + suspended
    energy = replace(
        whole.energy,
        path=path,
        joules=joules,
        low_joules=joules,
        high_joules=joules,
        suspended_joules=suspended,
    )
    return PlaceEnergy(energy, IdleSplit(idle, active, whole.split.method), activity)
