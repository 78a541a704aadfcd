"""An API server that tells of a pod for each container, and a service account for whoever asks it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporter.names.kube.access import SERVICE_ACCOUNT
from tests.exporter.names.kube.kube_server import TOKEN, KubeServer, pod, write_ca
from tests.programs import program

# The account is mounted where the kubelet does it; the machine's own /run stays as it is.
_MOUNT = 'mount -t tmpfs tmpfs /run && mkdir -p "$1" && mount --bind "$0" "$1" && shift && exec "$@"'


@dataclass(frozen=True, slots=True)
class InPod:
    """What makes a command run as in a pod: the words before it, and its environment."""

    words: Sequence[str | Path]
    environ: Mapping[str, str]


@contextmanager
def pod_api(container_ids: Sequence[str]) -> Iterator[InPod]:
    """A pod a container, by the tests' own API server, over TLS."""
    with tempfile.TemporaryDirectory() as folder:
        account = Path(folder)
        ca, certificate = write_ca(account)
        ca.rename(account / "ca.crt")
        (account / "token").write_text(TOKEN)
        server = KubeServer(certificate)
        try:
            for n, container_id in enumerate(container_ids):
                server.change("ADDED", pod(n, int(container_id, 16)))
            host, port = "127.0.0.1", server.port
            yield InPod(
                (program("unshare"), "--mount", program("sh"), "-c", _MOUNT, account, SERVICE_ACCOUNT),
                {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port},
            )
        finally:
            server.stop()
