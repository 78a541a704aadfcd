"""Who a row of the ledger belongs to, with the labels it keeps for life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exporter.names.workloads import Kind, Workload


@dataclass(frozen=True, slots=True)
class Account:
    """A workload and what people call it; namespace is the pod's. Empty where not known.

    is_settled: whether the names are what they will stay. Until then its row is booked and not shown, so
    that labels never change during a life.
    """

    workload: Workload
    name: str = ""
    namespace: str = ""
    is_settled: bool = True

    @property
    def key(self) -> tuple[Kind, str]:
        """Two accounts with one key are one row, under the labels of the first."""
        return self.workload.key


Resolver = Callable[[int], tuple[Account, ...]]
"""cgroup id -> the account it is charged to, and for a container in a pod the pod's account after it."""

Rename = Callable[[Account], tuple[Account, ...]]
"""What is known by now of an account that is not settled: the account, and after it its pod's account where
the path did not tell the pod. Empty while nobody can answer."""


def unchanged(account: Account) -> tuple[Account, ...]:
    """The Rename where names are known at once or never."""
    return (account,)
