"""Where each row belongs: its pod, its container, and what people made the pod from."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.books.processes import ProcessLedger
from exporter.names.accounts import Account
from exporter.names.pods import PodDirectory
from exporter.names.workloads import Kind
from exporter.serving.api.view import Place


class Places:
    """The places of one ledger's rows; each is looked up once, but for pods that are not known yet."""

    def __init__(self, pods: PodDirectory, processes: ProcessLedger | None = None) -> None:
        self._pods = pods
        self._processes = processes
        self._accounts: Sequence[Account] = ()
        self._places: list[Place] = []
        self._by_key: dict[tuple[Kind, str], Place] = {}
        self._nameless: list[int] = []

    def of(self, accounts: Sequence[Account]) -> Sequence[Place]:
        """One place an account. accounts: the same object as long as none of them came or went."""
        if accounts is not self._accounts:
            known = self._by_key
            self._accounts = accounts
            self._places = [known.get(each.key) or self._place(each) for each in accounts]
            self._note()
        elif self._nameless:
            self._places = list(self._places)  # the one before belongs to a view that others read
            for i in self._nameless:
                self._places[i] = self._place(accounts[i])
            self._note()
        return self._places

    def _note(self) -> None:
        """Which of them are to be asked for again, and which are known for good."""
        asks = self._pods.status() is not None
        pairs = list(zip(self._accounts, self._places, strict=True))
        self._nameless = [i for i, pair in enumerate(pairs) if asks and _lacks_name(*pair)]
        self._by_key = {each.key: place for each, place in pairs if not (asks and _lacks_name(each, place))}

    def _place(self, account: Account) -> Place:
        workload = account.workload
        if workload.kind == "process" and self._processes is not None:
            process = self._processes.info(account)
            return Place(container=process.container_id, pid=process.pid)
        pod = workload.pod_uid if workload.kind == "container" else ""
        info = self._pods.lookup(workload.id) if workload.kind == "pod" else None
        if info is None:
            return Place(pod=pod, namespace=account.namespace)
        return Place(pod, "", info.namespace, info.workload_kind, info.workload_name)


def _lacks_name(account: Account, place: Place) -> bool:
    return account.workload.kind == "pod" and not place.workload_name
