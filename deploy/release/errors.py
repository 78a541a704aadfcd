"""What may go wrong in a release."""

from __future__ import annotations

from ebpf.errors import PodjouleError


class ReleaseError(PodjouleError):
    """A release cannot be made here; the message says what was missing, and how to mend it."""
