"""The cluster's command line: `python -m tests.e2e.cluster up`, from the repository's root."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.cluster import binaries, images
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import ClusterError
from tests.programs import ProgramMissing

_HELP = """\
build                  compile Kubernetes and helm where they are not current (Go; minutes the first time)
up                     start the cluster; returns when the node is Ready
exec COMMAND...        run a command (a shell without one) inside it, with kubectl, helm and KUBECONFIG
load ARCHIVE...        bring image archives to the node
image NAME [TARGET]    build a target of deploy/Dockerfile and bring it to the node as NAME
down                   end every process, container, mount, cgroup and namespace that `up` made

CLUSTER_BIN (.cluster/bin) says where the programs are, CLUSTER_STATE
(/var/lib/podjoule-cluster) what the running cluster writes to.
"""


def main() -> int:
    """0 done, 1 failed; `exec` ends as its command does."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.e2e.cluster",
        usage="%(prog)s COMMAND [ARGUMENT...]",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=list(_COMMANDS), help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    told = parser.parse_args()
    try:
        _COMMANDS[told.command](Cluster(), told.arguments)
    except (ClusterError, ProgramMissing) as error:
        sys.stderr.write(f"cluster: {error}\n")
        return 1
    return 0


def _build(cluster: Cluster, _: list[str]) -> None:
    binaries.build(cluster.place)


def _up(cluster: Cluster, _: list[str]) -> None:
    began = time.monotonic()
    cluster.up()
    sys.stdout.write(
        f"node Ready after {time.monotonic() - began:.0f} s; inside it:\n"
        "  .venv/bin/python -m tests.e2e.cluster exec kubectl get pods -A\n"
        "  .venv/bin/python -m tests.e2e.cluster exec    # a shell\n"
        "  .venv/bin/python -m tests.e2e.cluster image localhost/podjoule:e2e\n"
        "make cluster-down ends it.\n"
    )


def _exec(cluster: Cluster, arguments: list[str]) -> None:
    command = arguments or [os.environ.get("SHELL", "/bin/sh")]
    with cluster.network():
        os.execvpe(command[0], command, cluster.environment)


def _load(cluster: Cluster, arguments: list[str]) -> None:
    images.load(cluster.place, *map(Path, arguments))


def _image(cluster: Cluster, arguments: list[str]) -> None:
    images.build(cluster.place, *arguments)


def _down(cluster: Cluster, _: list[str]) -> None:
    cluster.down()


_COMMANDS: dict[str, Callable[[Cluster, list[str]], None]] = {
    "build": _build,
    "up": _up,
    "exec": _exec,
    "load": _load,
    "image": _image,
    "down": _down,
}

if __name__ == "__main__":
    sys.exit(main())
