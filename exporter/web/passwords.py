"""Whether a password is right: bcrypt, once for each pair of user and password, and never for long.

Source of the scheme: exporter-toolkit's handler.go (unknown users cost as much as known ones, results are
cached, one computation at a time). Ours keeps no passwords, and bounds who may wait.
"""

from __future__ import annotations

import enum
import hashlib
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import bcrypt

T = TypeVar("T")
Check = Callable[[bytes, bytes], bool]
_BCRYPT_BYTES = 72  # bcrypt reads no more; htpasswd and Go cut there in silence, Python's bcrypt refuses
_MAX_ACCEPTED, _MAX_REFUSED, _MAX_PENALTIES = 256, 4_096, 4_096
_MAX_WAITING, _MAX_WAITING_EACH = 3, 2
# A client that was wrong leaves nine tenths of a CPU alone, however fast it goes on guessing.
_PENALTY = 9.0


class Verdict(enum.Enum):
    """Busy: ask again in a second."""

    ACCEPTED = enum.auto()
    REFUSED = enum.auto()
    BUSY = enum.auto()


class Passwords:
    """Verdicts on users and passwords. May be asked from any thread. check: bcrypt's own, or a test's.

    Only one bcrypt runs at a time; at most three requests wait for it, two of one client, which leaves a
    worker for those whose verdict is known. Known verdicts are found by a keyed hash, under a key that lives
    as long as the process: neither passwords nor anything that could be guessed against offline is kept.
    """

    def __init__(self, check: Check = bcrypt.checkpw, clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._accepted = _Recent[bool](_MAX_ACCEPTED)  # apart: a flood of wrong ones forgets no right one
        self._refused = _Recent[bool](_MAX_REFUSED)
        self._not_before = _Recent[float](_MAX_PENALTIES)
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._waiting: Counter[str] = Counter()

    def judge(self, users: Mapping[str, bytes], user: str, password: bytes, client: str) -> Verdict:
        """users: bcrypt hashes by name, at least one. client: the address that asks."""
        hashed = users.get(user) or self._stand_in(users, user)
        key = self._digest(user.encode(), hashed, password)
        known = self._known(key)
        if known:
            return known
        if not self._enter(client):
            return Verdict.BUSY
        try:
            with self._one_at_a_time:
                return self._known(key) or self._compute(key, user in users, hashed, password, client)
        finally:
            self._leave(client)

    def _known(self, key: bytes) -> Verdict | None:
        with self._lock:
            if self._accepted.get(key):
                return Verdict.ACCEPTED
            return Verdict.REFUSED if self._refused.get(key) else None

    def _compute(self, key: bytes, is_user: bool, hashed: bytes, password: bytes, client: str) -> Verdict:
        started = self._clock()
        is_right = self._check(password[:_BCRYPT_BYTES], hashed) and is_user
        ended = self._clock()
        with self._lock:
            if is_right:
                self._accepted.put(key, True)
                return Verdict.ACCEPTED
            self._refused.put(key, True)
            self._not_before.put(client.encode(), ended + _PENALTY * (ended - started))
        return Verdict.REFUSED

    def _stand_in(self, users: Mapping[str, bytes], user: str) -> bytes:
        """Somebody's hash for an unknown user: the same one each time, and as costly as a real one."""
        names = sorted(users)
        return users[names[int.from_bytes(self._digest(user.encode())[:8], "big") % len(names)]]

    def _digest(self, *parts: bytes) -> bytes:
        keyed = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            keyed.update(len(part).to_bytes(8, "big") + part)
        return keyed.digest()

    def _enter(self, client: str) -> bool:
        with self._lock:
            full = self._waiting.total() >= _MAX_WAITING or self._waiting[client] >= _MAX_WAITING_EACH
            if full or (self._not_before.get(client.encode()) or 0.0) > self._clock():
                return False
            self._waiting[client] += 1
            return True

    def _leave(self, client: str) -> None:
        with self._lock:
            self._waiting[client] -= 1
            self._waiting = +self._waiting  # forget who waits no more


class _Recent(Generic[T]):
    """The last few values by key; what was not used for longest goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[bytes, T] = OrderedDict()

    def get(self, key: bytes) -> T | None:
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: bytes, value: T) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
