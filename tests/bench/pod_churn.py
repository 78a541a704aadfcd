"""What following very many pods costs, against a real API server.

python -m tests.bench.pod_churn --kubeconfig F: 5,000 pods bound to a node that nobody runs, then a churn of
100 a second for a minute. Needs a cluster that may be filled, and a kubeconfig with a client certificate in
files; run it where the API server can be reached (for the cluster kit: cluster exec).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench import kube_load as load
from tests.bench.rows import Row, at_most, note, print_table

CPU_PERCENT, FLAT_MB = 2.0, 8.0
# A directory keeps what is gone for a minute: of the deleted pods, those of this time are asked for.
RECENT_SECONDS = 30.0


class Follower:
    """tests.bench.follow_pods in a process of its own."""

    def __init__(self, cluster: load.Cluster, account: Path) -> None:
        address = urlsplit(cluster.server)
        arguments = [load.NODE, str(account), address.hostname or "", str(address.port or 443)]
        command = [sys.executable, "-m", "tests.bench.follow_pods", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pod_churn", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--pods", type=int, default=5_000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    told = parser.parse_args()
    cluster = load.Cluster.read(told.kubeconfig)
    api = load.Api(cluster)
    with tempfile.TemporaryDirectory() as folder, load.prepared(api, Path(folder), cluster.ca) as account:
        began = time.monotonic()
        standing = load.in_parallel(lambda n: load.make(api, n), range(told.pods))
        print(f"made {told.pods} pods in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        print_table(_follow(api, cluster, account, standing, told.rate, told.seconds))


def _follow(
    api: load.Api,
    cluster: load.Cluster,
    account: Path,
    standing: list[load.Made],
    rate: float,
    seconds: float,
) -> list[Row]:
    follower = Follower(cluster, account)
    try:
        began = time.monotonic()
        while follower.ask("cost")["pods"] < len(standing):
            time.sleep(0.1)
        listed_seconds = time.monotonic() - began
        time.sleep(5)
        before, start = follower.ask("cost"), time.monotonic()
        churned = load.paced(api, len(standing), rate, seconds)
        after, spent = follower.ask("cost"), time.monotonic() - start
        recent = churned[-int(RECENT_SECONDS * len(churned) / spent) :]
        time.sleep(3)
        wrong = [_wrong(follower, standing), _wrong(follower, recent)]
        end = follower.ask("cost")
    finally:
        follower.close()
    cpu_percent = (after["cpu_seconds"] - before["cpu_seconds"]) / spent * 100
    return [
        note(f"start to {len(standing):,} pods known", f"{before['rss_mb']:.1f} MB", listed_seconds, "s"),
        note("… CPU until then", "imports and TLS included", before["cpu_seconds"], "s"),
        note(
            "churn that the API server took",
            f"of {rate:g}, for {spent:.0f} s",
            len(churned) / spent,
            "pods/s",
        ),
        at_most("CPU of the process meanwhile", "of a core", cpu_percent, CPU_PERCENT, "%"),
        at_most(
            "resident memory, growth",
            f"{after['rss_mb']:.1f} MB",
            end["rss_mb"] - before["rss_mb"],
            FLAT_MB,
            "MB",
        ),
        at_most("standing pods with a wrong name or none", f"of {len(standing):,}", wrong[0], 0, "pods"),
        at_most("deleted pods with a wrong name or none", f"of {len(recent):,}", wrong[1], 0, "pods"),
        note("errors", str(end["errors"]), sum(end["errors"].values()), "errors"),
    ]


def _wrong(follower: Follower, pods: list[load.Made]) -> int:
    """By UID and by container id."""
    by_uid = follower.ask([pod.uid for pod in pods])
    by_container = follower.ask([pod.container_id for pod in pods])
    names = [pod.name for pod in pods]
    return sum(not (a == b == name) for a, b, name in zip(by_uid, by_container, names, strict=True))


if __name__ == "__main__":
    main()
