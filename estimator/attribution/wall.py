"""What the wall draws beside what meters within the machine draw: learned, so that the time between two
readings of a slow board meter is filled, and put right at the next one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from estimator.energy import ZoneEnergy

_HALF_LIFE_SECONDS = 3_600.0
# Until the load has varied by some watts for some minutes, a watt within is taken for a watt at the wall;
# then for what supplies lose and fans draw beside it.
_PRIOR_WATT2_SECONDS = 25.0 * 300.0
_LEAST_SLOPE, _MOST_SLOPE = 0.5, 3.0
# A board that is silent for longer is not filled for: what it drew is told once it answers, or never.
MOST_FILLED_SECONDS = 300.0
_SAME_SPAN = 0.2
_MOST_PIECES = 1_000


class WallModel:
    """Watts at the wall = base + slope · watts within: least squares that forgets, by the hour."""

    def __init__(self) -> None:
        self._seconds = self._within = self._beside = self._within2 = self._cross = 0.0
        self._error_watts = 0.0
        self.base_watts, self.slope = 0.0, 1.0

    @property
    def error_watts(self) -> float:
        """How far it was off, one interval ahead, on average."""
        return self._error_watts

    def joules(self, within_joules: float, seconds: float) -> float:
        """At the wall, for what was drawn within."""
        return max(0.0, self.base_watts * seconds + self.slope * within_joules)

    def learn(self, joules: float, within_joules: float, seconds: float) -> None:
        """From one interval between two readings of the board, in seconds > 0."""
        kept = 0.5 ** (seconds / _HALF_LIFE_SECONDS)
        within, beside = within_joules / seconds, (joules - within_joules) / seconds
        if self._seconds:
            off = abs(joules - self.joules(within_joules, seconds)) / seconds
            part = seconds / (kept * self._seconds + seconds)
            self._error_watts += part * (off - self._error_watts)
        self._seconds = kept * self._seconds + seconds
        self._within = kept * self._within + seconds * within
        self._beside = kept * self._beside + seconds * beside
        self._within2 = kept * self._within2 + seconds * within * within
        self._cross = kept * self._cross + seconds * within * beside
        self._solve()

    def _solve(self) -> None:
        mean, beside = self._within / self._seconds, self._beside / self._seconds
        variance = max(0.0, self._within2 - self._seconds * mean * mean)
        more = (self._cross - self._seconds * mean * beside) / (variance + _PRIOR_WATT2_SECONDS)
        self.slope = min(_MOST_SLOPE, max(_LEAST_SLOPE, 1.0 + more))
        self.base_watts = beside - (self.slope - 1.0) * mean


@dataclass(frozen=True, slots=True)
class _Piece:
    """What was drawn within the machine in a tick that ended at `end`, in seconds of CLOCK_BOOTTIME."""

    end: float
    seconds: float
    joules: float

    def and_then(self, other: _Piece) -> _Piece:
        """Both as one."""
        return _Piece(other.end, self.seconds + other.seconds, self.joules + other.joules)

    def since(self, begin: float, until: float) -> tuple[float, float]:
        """Seconds and joules of it between two moments."""
        overlap = max(0.0, min(self.end, until) - max(self.end - self.seconds, begin))
        return overlap, self.joules * overlap / self.seconds


class WallFill:
    """One board counter, tick by tick: what it told so far, and from there on what it is taken to draw.

    At each moment what was given out is what the counter told plus the model since: where that was too much,
    nothing is given until it is right again, so that no counter goes down. first: what it tells first.
    """

    def __init__(self, first: ZoneEnergy) -> None:
        self.model = WallModel()
        self._energy = first
        self._read_seconds = self._given_seconds = first.end_ns / 1e9 - first.interval_seconds
        self._told_joules = self._given_joules = 0.0
        self._unsure_joules = self._suspended_joules = self._suspended_seconds = 0.0
        self._pieces: deque[_Piece] = deque()

    @property
    def ahead_joules(self) -> float:
        """How much more was given out than the counter told until its last reading."""
        return self._given_joules - self._told_joules

    def take_over(self, other: WallFill) -> None:
        """Go on from another counter of the same wall: what is given out already is not given again."""
        self.model = other.model
        self._given_joules += max(0.0, other.ahead_joules)
        self._given_seconds = max(self._given_seconds, other._given_seconds)
        self._pieces = other._pieces

    def add(self, end: float, seconds: float, within_joules: float) -> None:
        """What was drawn within the machine in a tick, seconds > 0; end: of CLOCK_BOOTTIME, in seconds."""
        self._pieces.append(_Piece(end, seconds, within_joules))
        while len(self._pieces) > 1 and self._pieces[0].end <= self._read_seconds:
            self._pieces.popleft()
        if len(self._pieces) > _MOST_PIECES:
            first, second = self._pieces.popleft(), self._pieces.popleft()
            self._pieces.appendleft(first.and_then(second))

    def tell(self, energy: ZoneEnergy) -> None:
        """What the counter tells up to a newer reading."""
        read_seconds = energy.end_ns / 1e9
        began = read_seconds - energy.interval_seconds
        if began - self._read_seconds > _SAME_SPAN * energy.interval_seconds:
            self._pass_over(began)
        seconds, within = self._drawn_within(read_seconds)
        spanned = read_seconds - self._read_seconds
        if seconds > 0 and abs(energy.interval_seconds - spanned) <= _SAME_SPAN * spanned:
            self.model.learn(energy.joules * seconds / spanned, within, seconds)
        self._told_joules += energy.joules
        self._unsure_joules += (energy.high_joules - energy.low_joules) / 2
        self._suspended_joules += energy.suspended_joules
        self._suspended_seconds += energy.suspended_seconds
        self._energy, self._read_seconds = energy, read_seconds

    def give(self, now: float) -> ZoneEnergy | None:
        """The energy of a tick that ends now; None while the board has been silent for too long, and where
        no time has passed."""
        silent = now - self._read_seconds
        if silent > MOST_FILLED_SECONDS or now <= self._given_seconds:
            return None
        filled = self.model.joules(self._drawn_within(now)[1], silent)
        joules = max(0.0, self._told_joules + filled - self._given_joules)
        seconds, self._given_seconds = now - self._given_seconds, now
        self._given_joules += joules
        unsure = self.model.error_watts * seconds + self._unsure_joules
        given = replace(
            self._energy,
            joules=joules,
            interval_seconds=seconds,
            idle_watts=None,
            low_joules=max(0.0, joules - unsure),
            high_joules=joules + unsure,
            suspended_seconds=min(seconds, self._suspended_seconds),
            suspended_joules=min(joules, self._suspended_joules),
            end_ns=round(now * 1e9),
        )
        self._unsure_joules = self._suspended_joules = self._suspended_seconds = 0.0
        return given

    def _pass_over(self, until: float) -> None:
        """A stretch of time of which the counter tells nothing: what was given for it stays."""
        filled = self.model.joules(self._drawn_within(until)[1], until - self._read_seconds)
        self._told_joules = min(self._told_joules + filled, self._given_joules)
        self._read_seconds = until

    def _drawn_within(self, until: float) -> tuple[float, float]:
        """Seconds and joules since the last reading."""
        parts = [piece.since(self._read_seconds, until) for piece in self._pieces]
        return sum(seconds for seconds, _ in parts), sum(joules for _, joules in parts)
