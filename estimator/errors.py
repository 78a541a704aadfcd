"""What meters and models raise on purpose; ebpf.errors draws the whole tree."""

from __future__ import annotations

from ebpf.errors import PodjouleError, Unavailable, UsageError


class MeterUnavailable(Unavailable):
    """No energy can be read this way."""


class MeterAbsent(MeterUnavailable):
    """This machine does not have what the meter reads: nothing is to be mended."""


class ModelUnavailable(Unavailable):
    """No model fits this machine."""


class ModelInvalid(PodjouleError):
    """A model file that must not be used: names the file and the field."""


class ArgumentInvalid(UsageError, ValueError):
    """An argument that cannot be served: `argument` names it, `reason` says why and what to do.

    Of a command it is the flag of the same name.
    """

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(f"{argument}: {reason}")
        self.argument = argument
        self.reason = reason


class SamplesInvalid(UsageError, ValueError):
    """A samples table that cannot be read, or cannot teach what was asked for."""
