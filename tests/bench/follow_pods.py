"""A process that follows the pods of a node and does nothing else: tells what it costs, and what it knows.

python -m tests.bench.follow_pods NODE ACCOUNT: a line of JSON in answer to each line on stdin. "cost": CPU
seconds and resident megabytes so far; else a list of keys: the name of each pod, null where it is not known.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from exporter.configuration.option_tree import Kube
from exporter.names.kube.directory import open_pods
from exporter.names.pods import PodDirectory
from exporter.tick.heap import keep_heap_small


def main() -> None:
    node, account, host, port = sys.argv[1:]
    keep_heap_small()
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    directory = open_pods(Kube(node_name=node, enabled="true"), environ, Path(account))
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _cost(directory) if asked == "cost" else [_name(directory, key) for key in asked]
        print(json.dumps(answer), flush=True)
    directory.close()


def _cost(directory: PodDirectory) -> dict[str, object]:
    status = directory.status()
    assert status is not None
    return {
        "cpu_seconds": time.process_time(),
        "rss_mb": _resident_kilobytes() * 1024 / 1e6,
        "pods": status.pods,
        "errors": {reason: count for reason, count in status.errors.items() if count},
        "is_current": status.is_current,
    }


def _name(directory: PodDirectory, key: str) -> str | None:
    info = directory.lookup(key)
    return info.name if info else None


def _resident_kilobytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


if __name__ == "__main__":
    main()
