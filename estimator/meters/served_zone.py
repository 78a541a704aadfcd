"""Who serves a zone that several sources know, and how one takes over from another without losing a joule.

What each source tells is kept for a while, with the time that it spans. Booked is what the zone's owner
tells; where it cannot tell a stretch of time (before its first reading, a gap, its end), what another told of
that; and of what was booked already, nothing twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from estimator.energy import ZoneEnergy

# An owner that has told nothing for so long, and for several of its own intervals, is gone.
PATIENCE_SECONDS = 180.0
_PATIENCE_INTERVALS = 5.0
_KEPT_NS = 1_800 * 10**9
# Clocks of two meters in one tick are read one after the other.
_SAME_MOMENT_NS = 500 * 10**6

Told = Mapping[int, Sequence[ZoneEnergy]]


class ServedZone:
    """One zone, or one device of a zone; sources go by their place in the order of preference.

    owner: who serves it, None before anybody was known to have it.
    """

    def __init__(self) -> None:
        self.owner: int | None = None
        self._heard_ns: dict[int, int] = {}
        self._usual_seconds: dict[int, float] = {}
        self._pieces: dict[int, deque[ZoneEnergy]] = {}
        # Up to when a path of the owner is booked, and a socket of the owners before it.
        self._booked_ns: dict[str, int] = {}
        self._inherited_ns: dict[int | None, int] = {}
        self._path_of: dict[str, int | None] = {}

    def take(self, now_ns: int, told: Told, having: Set[int]) -> list[ZoneEnergy]:
        """What is booked in this tick. having: the sources that are known to have the zone, beside those that
        told."""
        self._hear(now_ns, told, having)
        owner = min((each for each in self._heard_ns if not self._is_gone(each, now_ns)), default=self.owner)
        if owner is None:
            return []
        energies = [_ended(energy, now_ns) for energy in told.get(owner, ())]
        if owner != self.owner:
            self._hand_over(owner)
            energies = list(self._pieces.get(owner, ()))
        self._path_of.update((energy.path, energy.socket) for energy in energies)
        return _joined_by_path(piece for energy in energies for piece in self._book(owner, energy))

    def _hear(self, now_ns: int, told: Told, having: Set[int]) -> None:
        for source in having | told.keys():
            self._heard_ns.setdefault(source, now_ns)
        for source, energies in told.items():
            self._heard_ns[source] = now_ns
            self._usual_seconds[source] = max(energy.interval_seconds for energy in energies)
            pieces = self._pieces.setdefault(source, deque())
            pieces.extend(_ended(energy, now_ns) for energy in energies)
            while len(pieces) > 1 and pieces[0].end_ns < now_ns - _KEPT_NS:
                pieces.popleft()

    def _is_gone(self, source: int, now_ns: int) -> bool:
        patience = max(PATIENCE_SECONDS, _PATIENCE_INTERVALS * self._usual_seconds.get(source, 0.0))
        return now_ns - self._heard_ns[source] > patience * 1e9

    def _hand_over(self, owner: int) -> None:
        for path, until_ns in self._booked_ns.items():
            socket = self._path_of[path]
            self._inherited_ns[socket] = max(until_ns, self._inherited_ns.get(socket, 0))
        self.owner = owner
        self._booked_ns, self._path_of = {}, {}

    def _book(self, owner: int, energy: ZoneEnergy) -> list[ZoneEnergy]:
        """The part of it that is not booked yet, after what others told of the time since what is."""
        socket, began_ns = energy.socket, _began_ns(energy)
        until_ns = self._booked_ns.get(energy.path, self._inherited(socket))
        if energy.end_ns <= until_ns:
            return []
        self._booked_ns[energy.path] = energy.end_ns
        if began_ns < until_ns - _SAME_MOMENT_NS:
            return [_part(energy, self._part_since(owner, energy, until_ns))]
        if began_ns <= until_ns + _SAME_MOMENT_NS or list(self._path_of.values()).count(socket) > 1:
            return [energy]
        return [*self._of_others(owner, energy, until_ns, began_ns), energy]

    def _inherited(self, socket: int | None) -> int:
        if socket in self._inherited_ns:
            return self._inherited_ns[socket]
        return max(self._inherited_ns.values(), default=0)

    def _of_others(self, owner: int, energy: ZoneEnergy, since_ns: int, until_ns: int) -> list[ZoneEnergy]:
        """What the first of the others that has anything told of a stretch of time, in the place of it."""
        return [replace(piece, path=energy.path) for piece in self._within(owner, energy, since_ns, until_ns)]

    def _part_since(self, owner: int, energy: ZoneEnergy, since_ns: int) -> float:
        """The part of its joules that was drawn since then, by how another saw its power go; by time, where
        none did."""
        whole = _joules(self._within(owner, energy, _began_ns(energy), energy.end_ns))
        if whole > 0:
            return _joules(self._within(owner, energy, since_ns, energy.end_ns)) / whole
        return (energy.end_ns - since_ns) / (energy.end_ns - _began_ns(energy))

    def _within(self, owner: int, energy: ZoneEnergy, since_ns: int, until_ns: int) -> list[ZoneEnergy]:
        """What the first of the others that has anything told of a stretch of time; of what reaches beyond
        it the part that does not."""
        for source, pieces in sorted(self._pieces.items()):
            within = [
                _part(piece, overlap / (piece.end_ns - _began_ns(piece)))
                for piece in pieces
                if piece.socket == energy.socket and (overlap := _overlap_ns(piece, since_ns, until_ns)) > 0
            ]
            if source != owner and within:
                return within
        return []


def _ended(energy: ZoneEnergy, now_ns: int) -> ZoneEnergy:
    return energy if energy.end_ns else replace(energy, end_ns=now_ns)


def _began_ns(energy: ZoneEnergy) -> int:
    return energy.end_ns - round(energy.interval_seconds * 1e9)


def _overlap_ns(energy: ZoneEnergy, since_ns: int, until_ns: int) -> int:
    return min(energy.end_ns, until_ns) - max(_began_ns(energy), since_ns)


def _joules(energies: Iterable[ZoneEnergy]) -> float:
    return sum(energy.joules for energy in energies)


def _part(energy: ZoneEnergy, part: float) -> ZoneEnergy:
    """So much of it."""
    return replace(
        energy,
        joules=energy.joules * part,
        interval_seconds=energy.interval_seconds * part,
        low_joules=energy.low_joules * part,
        high_joules=energy.high_joules * part,
        suspended_seconds=energy.suspended_seconds * part,
        suspended_joules=energy.suspended_joules * part,
    )


def _joined_by_path(pieces: Iterable[ZoneEnergy]) -> list[ZoneEnergy]:
    joined: dict[str, ZoneEnergy] = {}
    for piece in pieces:
        joined[piece.path] = _joined(joined[piece.path], piece) if piece.path in joined else piece
    return list(joined.values())


def _joined(one: ZoneEnergy, other: ZoneEnergy) -> ZoneEnergy:
    return replace(
        other,
        joules=one.joules + other.joules,
        interval_seconds=one.interval_seconds + other.interval_seconds,
        low_joules=one.low_joules + other.low_joules,
        high_joules=one.high_joules + other.high_joules,
        suspended_seconds=one.suspended_seconds + other.suspended_seconds,
        suspended_joules=one.suspended_joules + other.suspended_joules,
    )
