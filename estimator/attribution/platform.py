"""The whole machine's energy, where parts of it are metered too: what they explain, and the rest by a policy.

Who drew it within the machine drew it at the wall as well. What is left (fans, disks, what supplies lose) is
nobody's, or shared out: in proportion to what each drew within, or evenly among containers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from estimator.attribution.shares import SUSPENDED
from estimator.attribution.wall import WallFill
from estimator.energy import FloatArray, ZoneEnergy, ZoneShare
from estimator.meters.port import ZoneReading

POLICIES = ("none", "proportional", "even")
PLATFORM = "platform"
# None of them lies in another: DESIGN section 4.
WITHIN = ("package", "dram", "gpu")
REST, INNER_ZONES = "rest", "inner_zones"


class PlatformShares:
    """Puts each tick's share of zone platform together from those of the zones within it.

    Where no zone within was ever metered, shares stay as they are. policy: of the rest, one of POLICIES.
    """

    def __init__(self, policy: str = "none") -> None:
        self._policy = policy
        self._fills: dict[str, WallFill] = {}
        self._has_within = False

    def complete(
        self,
        shares: Sequence[ZoneShare],
        rows: int,
        now_ns: int,
        seconds: float,
        even: Callable[[], FloatArray] | None = None,
    ) -> list[ZoneShare]:
        """The tick's shares, those of a measured platform replaced by what is to be booked.

        rows: how many cgroups there are in it. now_ns: CLOCK_BOOTTIME when the tick ended; seconds: how long
        it was, awake: none where all of it was sleep. even: row by row, the weights of policy even. An energy
        that does not say up to when it was read (end_ns), as those of a recording, is the tick's. Each share
        adds up to its energy as those of `attribute` do.
        """
        within = [share for share in shares if share.energy.zone in WITHIN]
        told = {share.energy.path: share.energy for share in shares if share.energy.zone == PLATFORM}
        self._has_within |= bool(within)
        if not self._has_within or not (told or self._fills):
            return list(shares)
        energies = self._fill(told, now_ns / 1e9, seconds, sum(share.energy.joules for share in within))
        weights = even() if even is not None and self._policy == "even" else None
        others = [share for share in shares if share.energy.zone != PLATFORM]
        return [*others, *explained(energies, within, rows, self._policy, weights)]

    def kept(self, last: Mapping[str, ZoneReading]) -> dict[str, ZoneReading]:
        """The readings from which another process goes on: with what was given out ahead of a board."""
        return {
            path: _ahead(reading, fill.ahead_joules) if (fill := self._fills.get(path)) else reading
            for path, reading in last.items()
        }

    def _fill(
        self, told: Mapping[str, ZoneEnergy], now: float, seconds: float, within_joules: float
    ) -> list[ZoneEnergy]:
        energies = [energy for energy in told.values() if not energy.end_ns]
        for energy in told.values():
            if energy.end_ns and energy.path not in self._fills:
                self._fills[energy.path] = self._begin(energy, told)
        for path, fill in self._fills.items():
            if seconds > 0:
                fill.add(now, seconds, within_joules)
            if path in told:
                fill.tell(told[path])
            given = fill.give(now)
            if given is not None:
                energies.append(given)
        return energies

    def _begin(self, energy: ZoneEnergy, told: Mapping[str, ZoneEnergy]) -> WallFill:
        """A counter that was not known takes over from those that tell no more, and what they were ahead."""
        fill = WallFill(energy)
        for path in self._fills.keys() - told.keys():
            fill.take_over(self._fills.pop(path))
        return fill


def explained(
    energies: Sequence[ZoneEnergy],
    within: Sequence[ZoneShare],
    rows: int,
    policy: str,
    even: FloatArray | None = None,
) -> list[ZoneShare]:
    """Share out the energies of platform, each for its part of their sum.

    within: the shares of the zones within. rows: how many cgroups there are. Where the wall says less than
    what is within, everybody has as much less.
    """
    whole = sum(energy.joules for energy in energies)
    inner = sum(share.energy.joules for share in within)
    cgroups = np.sum([share.cgroup_joules for share in within], axis=0) if within else np.zeros(rows)
    idle = sum(share.idle_joules for share in within)
    nobodys: dict[str, float] = {}
    for share in within:
        for reason, joules in share.unattributed_joules.items():
            nobodys[reason] = nobodys.get(reason, 0.0) + joules
    scale = min(1.0, whole / inner) if inner > 0 else 0.0
    shares = []
    for energy in energies:
        part = scale * energy.joules / whole if whole > 0 else 0.0
        share = ZoneShare(
            energy,
            idle * part,
            INNER_ZONES,
            cgroups * part,
            {reason: joules * part for reason, joules in nobodys.items()},
        )
        shares.append(_with_rest(share, policy, even))
    return shares


def _with_rest(share: ZoneShare, policy: str, even: FloatArray | None) -> ZoneShare:
    """The share with what is missing from its energy. Scaled to end with, so that it adds up."""
    cgroups, nobodys = share.cgroup_joules, dict(share.unattributed_joules)
    active = float(cgroups.sum()) + sum(nobodys.values())
    rest = max(0.0, share.energy.joules - share.idle_joules - active)
    asleep = min(rest, max(0.0, share.energy.suspended_joules - nobodys.get(SUSPENDED, 0.0)))
    if asleep:
        nobodys[SUSPENDED] = nobodys.get(SUSPENDED, 0.0) + asleep
        rest -= asleep
    nobodys.setdefault(REST, 0.0)
    weights = even if policy == "even" else cgroups if policy == "proportional" else None
    total = 0.0 if weights is None else float(weights.sum())
    if weights is None or total <= 0:
        nobodys[REST] += rest
        return replace(share, unattributed_joules=nobodys)
    return replace(share, cgroup_joules=cgroups + weights / total * rest, unattributed_joules=nobodys)


def _ahead(reading: ZoneReading, joules: float) -> ZoneReading:
    energy_uj = reading.energy_uj + round(joules * 1e6)
    return replace(reading, energy_uj=min(max(0, energy_uj), reading.max_energy_uj))
