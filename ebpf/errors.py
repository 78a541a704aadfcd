"""The root of every error podjoule raises on purpose, and those that counting raises.

PodjouleError
├── Unavailable             a source, meter or model cannot serve on this machine; the next best is tried
│   ├── SourceUnavailable   counters: no BPF, no BTF, no cgroup mount
│   │   └── NotPermitted    no right to use BPF, whatever the loader
│   ├── MeterUnavailable    power: no powercap tree, energy_uj not readable (estimator.errors)
│   └── ModelUnavailable    no model fits this machine (estimator.errors)
├── ModelInvalid            a model file that must not be used (estimator.errors)
├── StateInvalid            a state file that must not be used (exporter.errors)
├── RequestFailed           no usable answer over HTTP (exporter.http_client)
├── CollectFailed           a server or a store failed while a report was collected (exporter.errors)
├── GridError               a provider of carbon intensity gave no usable value (exporter.errors)
└── UsageError              wrong command line or configuration; the command exits with 2
    ├── ArgumentInvalid     an argument, or the flag of its name, that cannot be served (estimator.errors)
    └── SamplesInvalid      a samples table that cannot be read or used (estimator.errors)

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


class UsageError(PodjouleError):
    """A wrong command line or configuration."""
