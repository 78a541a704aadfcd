"""Whether a password is right: bcrypt, once for each pair of user and password, and never for long.

Source of the scheme: exporter-toolkit's handler.go (unknown users cost as much as known ones, results are
cached, one computation at a time). Ours keeps no passwords, bounds who may wait, and takes those first who
were wrong least often.
"""

from __future__ import annotations

import enum
import hashlib
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import bcrypt

T = TypeVar("T")
Check = Callable[[bytes, bytes], bool]
_BCRYPT_BYTES = 72  # bcrypt reads no more; htpasswd and Go cut there in silence, Python's bcrypt refuses
_MAX_ACCEPTED, _MAX_REFUSED, _MAX_CLIENTS = 256, 4_096, 4_096
_MAX_WAITING, _MAX_WAITING_EACH = 64, 2
# A client that was wrong leaves nine tenths of a CPU alone, however fast it goes on guessing.
_PENALTY = 9.0


class Verdict(enum.Enum):
    """Busy: ask again in a second."""

    ACCEPTED = enum.auto()
    REFUSED = enum.auto()
    BUSY = enum.auto()


@dataclass(slots=True, eq=False)
class _Question:
    """A password that nobody has looked at. failures: how often its client was wrong before."""

    key: bytes
    is_user: bool
    hashed: bytes
    password: bytes
    client: bytes
    failures: int
    verdict: Future[Verdict] = field(default_factory=Future)


class Passwords:
    """Verdicts on users and passwords. May be asked from any thread. check: bcrypt's own, or a test's.

    Only one bcrypt runs at a time, for the client that was wrong least often, so that a crowd of those who
    guess keeps out nobody who is new; two questions of one client may wait, and 64 in all. Known verdicts are
    found by a keyed hash, under a key that lives as long as the process: neither passwords nor anything that
    could be guessed against offline is kept.
    """

    def __init__(self, check: Check = bcrypt.checkpw, clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._accepted = _Recent[bool](_MAX_ACCEPTED)  # apart: a flood of wrong ones forgets no right one
        self._refused = _Recent[bool](_MAX_REFUSED)
        self._not_before = _Recent[float](_MAX_CLIENTS)
        self._failures = _Recent[int](_MAX_CLIENTS)
        self._lock = threading.Lock()
        self._waiting: list[_Question] = []
        self._running: _Question | None = None
        self._one_at_a_time = ThreadPoolExecutor(1, "web-bcrypt")

    def judge(self, users: Mapping[str, bytes], user: str, password: bytes, client: str) -> Verdict:
        """What `ask` finds, for who can wait."""
        return self.ask(users, user, password, client).result()

    def ask(self, users: Mapping[str, bytes], user: str, password: bytes, client: str) -> Future[Verdict]:
        """users: bcrypt hashes by name, at least one. client: the address that asks."""
        hashed = users.get(user) or self._stand_in(users, user)
        key = self._digest(user.encode(), hashed, password)
        whence = neighbourhood(client)
        with self._lock:
            failures = self._failures.get(whence) or 0
            question = _Question(key, user in users, hashed, password[:_BCRYPT_BYTES], whence, failures)
            verdict = self._known(key) or self._enter(question)
        if verdict:
            question.verdict.set_result(verdict)
        else:
            self._one_at_a_time.submit(self._answer_one)
        return question.verdict

    def _known(self, key: bytes) -> Verdict | None:
        if self._accepted.get(key):
            return Verdict.ACCEPTED
        return Verdict.REFUSED if self._refused.get(key) else None

    def _enter(self, question: _Question) -> Verdict | None:
        """Busy, or None for a question that waits now, if need be in the place of one less welcome."""
        if (self._not_before.get(question.client) or 0.0) > self._clock():
            return Verdict.BUSY
        self._waiting = [each for each in self._waiting if not each.verdict.cancelled()]
        own = [each for each in (*self._waiting, self._running) if each and each.client == question.client]
        if len(own) >= _MAX_WAITING_EACH:
            return Verdict.BUSY
        if len(self._waiting) >= _MAX_WAITING:
            last = max(self._waiting, key=lambda each: each.failures)
            if last.failures < question.failures:
                return Verdict.BUSY
            self._waiting.remove(last)
            last.verdict.set_result(Verdict.BUSY)
        self._waiting.append(question)
        return None

    def _answer_one(self) -> None:
        with self._lock:
            # Of those alike the newest: a crowd that came first would else be in front of whoever comes.
            best = sorted(self._waiting, key=lambda each: -each.failures)
            while best and not best[-1].verdict.set_running_or_notify_cancel():
                self._waiting.remove(best.pop())
            if not best:
                return
            self._running = question = best[-1]
            self._waiting.remove(question)
            verdict = self._known(question.key)
        try:
            question.verdict.set_result(verdict or self._compute(question))
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            question.verdict.set_exception(error)
        finally:
            self._running = None

    def _compute(self, question: _Question) -> Verdict:
        started = self._clock()
        is_right = self._check(question.password, question.hashed) and question.is_user
        ended = self._clock()
        with self._lock:
            if is_right:
                self._accepted.put(question.key, True)
                self._failures.put(question.client, 0)
                return Verdict.ACCEPTED
            self._refused.put(question.key, True)
            self._failures.put(question.client, question.failures + 1)
            self._not_before.put(question.client, ended + _PENALTY * (ended - started))
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


def neighbourhood(client: str) -> bytes:
    """What is held against one address is held against all that one owner has: in IPv6 a /64 is one's own."""
    try:
        address = ipaddress.IPv6Address(client.partition("%")[0])
    except ValueError:
        return client.encode()
    return address.packed if address.ipv4_mapped else address.packed[:8]


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
