"""By which credentials Kubernetes is asked: the pod's service account, or a kubeconfig."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from exporter.http_client import Tls
from exporter.names.kube.failure import Failure

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API server is. proxy: "" for the environment's.

    headers: what authorizes a request, asked at each. Raises Failure. Never to be logged.
    """

    host: str
    tls: Tls
    headers: Callable[[], Mapping[str, str]]
    proxy: str = ""


class ClusterAccess(Protocol):
    """Where the API server is, and who we are."""

    def server(self) -> Server:
        """Reads the files anew at each call. Raises Failure."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What the kubelet mounts into every pod; it replaces the token before it expires."""

    directory: Path
    host: str

    def server(self) -> Server:
        """The cluster's CA is the one beside the token."""
        return Server(self.host, Tls(self.directory / "ca.crt"), self._headers)

    def _headers(self) -> Mapping[str, str]:
        """The token as it is now: read at each request, so that a rotated one is used at once."""
        file = self.directory / "token"
        try:
            token = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure("credentials", f"the token {file} cannot be read: {_reason(error)}") from error
        # A header refuses other characters with a message that holds the token.
        if not token or not token.isprintable() or " " in token:
            raise Failure("credentials", f"{file} holds no token")
        return {"authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """A kubeconfig file and its current context; whatever kind of credentials the client understands."""

    file: Path

    def server(self) -> Server:
        """Loaded by the official client, which takes 20 MB that a service account does without."""
        found = self._load()
        ca, certificate, key = (
            Path(name) if name else None for name in (found.ssl_ca_cert, found.cert_file, found.key_file)
        )
        tls = Tls(ca, certificate, key, found.tls_server_name or "", found.verify_ssl)

        def headers() -> Mapping[str, str]:
            """A token that the client keeps fresh; none with a client certificate."""
            settings = found.auth_settings().values()
            return {setting["key"]: setting["value"] for setting in settings if setting["in"] == "header"}

        return Server(found.host, tls, headers, found.proxy or "")

    def _load(self) -> Any:
        from kubernetes.client import Configuration
        from kubernetes.config import ConfigException, load_kube_config

        configuration = Configuration()
        try:
            load_kube_config(  # type: ignore[no-untyped-call]
                str(self.file), client_configuration=configuration, persist_config=False
            )
        except ConfigException as error:
            raise Failure("credentials", f"the kubeconfig {self.file} cannot be used: {error}") from error
        except Exception as error:  # noqa: BLE001  a broken file raises anything; its text may quote a secret
            message = f"the kubeconfig {self.file} cannot be used: {_reason(error)}"
            raise Failure("credentials", message) from None
        return configuration


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
