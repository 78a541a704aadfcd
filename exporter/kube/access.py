"""By which credentials Kubernetes is asked: the pod's service account, or a kubeconfig."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from exporter.kube.errors import Failure
from exporter.kube.imports import client_parts

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Access(Protocol):
    """Where the API server is, and who we are. Both methods read the files anew at each call."""

    def configuration(self) -> Any:
        """The client's Configuration: host, CA, client certificate. Raises Failure."""

    def headers(self, configuration: Any) -> Mapping[str, str]:
        """What authorizes a request. Raises Failure. Never to be logged."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What the kubelet mounts into every pod; it replaces the token before it expires."""

    directory: Path
    host: str

    def configuration(self) -> Any:
        """The cluster's CA is the one beside the token."""
        configuration_class, _ = client_parts()
        return configuration_class(host=self.host, ssl_ca_cert=str(self.directory / "ca.crt"))

    def headers(self, configuration: Any) -> Mapping[str, str]:  # noqa: ARG002  the protocol's signature
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

    def configuration(self) -> Any:
        """Loaded by the client; takes the whole of it into memory, which a service account does not."""
        configuration_class, _ = client_parts()
        from kubernetes.config import ConfigException, load_kube_config

        configuration = configuration_class()
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

    def headers(self, configuration: Any) -> Mapping[str, str]:
        """A token that the client keeps fresh; none with a client certificate."""
        settings = configuration.auth_settings().values()
        return {setting["key"]: setting["value"] for setting in settings if setting["in"] == "header"}


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
