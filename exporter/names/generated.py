"""Names that a program made up, as opposed to those that a person gave: a series each would never end."""

from __future__ import annotations

import re

_UUID = r"[0-9a-fA-F]{8}(?:[-_][0-9a-fA-F]{4}){3}[-_][0-9a-fA-F]{12}"
# systemd writes "-" within a name as "\x2d": it parts names as well.
_START, _END = r"(?:(?<![0-9A-Za-z])|(?<=\\x2d))", r"(?![0-9A-Za-z])"
# UUIDs, hashes, and buildkit's 25 characters to the base 36.
_WHOLE = re.compile(rf"{_UUID}|[0-9a-fA-F]{{12,}}|(?=.*[0-9])[0-9a-z]{{25}}|[0-9]{{4,}}|\*")
_PART = re.compile(rf"{_START}(?:{_UUID}|[0-9a-fA-F]{{12,}}){_END}")
# systemd-run's own names, of every version: run-r<hex>, run-u<number>, run-p<pid>-i<inode>, run-<pid>.
_TRANSIENT = re.compile(r"run-(?:r[0-9a-f]+|u[0-9]+|p[0-9]+-i[0-9]+|[0-9]+)(?=\.(?:scope|service|mount)\Z)")
# Scopes are made by programs: a number at their end is a PID or a count.
_NUMBERED_SCOPE = re.compile(r"(?<=[-_.])[0-9]+(?=\.scope\Z)")
# An instance a connection or a crash: sshd@7-10.0.0.1:22-10.0.0.9:50514, systemd-coredump@3-4711-0.
_CONNECTION = re.compile(r"(?<=@)[0-9]+-[0-9a-f.:\[\]\-]*[0-9](?=\.service\Z)")
# runc's mounts end in six letters of mkdtemp.
_TEMPORARY = re.compile(r"(?<=runc\.)[0-9A-Za-z]{6}(?=\.mount\Z)")


def is_generated(segment: str) -> bool:
    """Whether nothing of a cgroup's name was given by a person."""
    return _WHOLE.fullmatch(segment) is not None


def without_generated(segment: str) -> str:
    """A cgroup's name with "*" for each part that a program made up; what is a person's stays as it is."""
    if is_generated(segment):
        return "*"
    segment = _TRANSIENT.sub("run-*", segment)
    for pattern in (_CONNECTION, _PART, _NUMBERED_SCOPE, _TEMPORARY):
        segment = pattern.sub("*", segment)
    return segment
