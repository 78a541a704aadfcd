"""Every error podjoule raises on purpose.

PodjouleError
├── Unavailable             a source, meter or model cannot serve on this machine; the next best is tried
│   ├── SourceUnavailable   counters: no BPF, no BTF, no cgroup mount
│   │   └── NotPermitted    no right to use BPF, whatever the loader
│   ├── MeterUnavailable    power: no powercap tree, energy_uj not readable
│   └── ModelUnavailable    no model fits this machine
├── ModelInvalid            a model file that must not be used: names the file and the field
├── StateInvalid            a state file that must not be used (exporter.state_file)
├── GridError               a provider of carbon intensity gave no usable value (exporter.grid.http)
└── UsageError              wrong command line or configuration; the command exits with 2

A message says what was wanted, where, what was found, and how to mend it, in one line.
"""

from __future__ import annotations


class PodjouleError(Exception):
    """The root of the tree drawn above."""


class Unavailable(PodjouleError):
    """Something cannot serve on this machine."""


class SourceUnavailable(Unavailable):
    """No counters can be had this way."""


class NotPermitted(SourceUnavailable):
    """BPF is there, but not for us."""


class MeterUnavailable(Unavailable):
    """No energy can be read this way."""


class ModelUnavailable(Unavailable):
    """No model fits this machine."""


class ModelInvalid(PodjouleError):
    """A model file that must not be used."""


class UsageError(PodjouleError):
    """A wrong command line or configuration."""
