"""How a server is reached that a user names on the command line: its address, and who asks."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.http_client import RequestFailed, Tls, open_manager

if TYPE_CHECKING:
    from urllib3 import PoolManager

_MAX_SECRET_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is reached.

    user: "" for none, else with password_file; token_file alone. ca_file: None for the system's authorities.
    tenant: whom Mimir and Cortex are asked for, "" for nobody.
    """

    url: str
    user: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    tenant: str = ""

    def headers(self) -> dict[str, str]:
        """Of one request: read anew each time, for tokens of Kubernetes are replaced within the hour.

        Raises UsageError for what does not go together, or cannot be read.
        """
        tenant = {"X-Scope-OrgID": self.tenant} if self.tenant else {}
        return {**tenant, **_authorization(self)}

    def open_manager(self) -> PoolManager:
        """Connections to the server. Raises UsageError where the certificates cannot be read."""
        try:
            return open_manager(self.url, Tls(self.ca_file) if self.ca_file else None)
        except RequestFailed as failed:
            raise UsageError(f"--ca-file {self.ca_file}: {failed}") from None


def _authorization(access: Access) -> dict[str, str]:
    if bool(access.user) != (access.password_file is not None):
        raise UsageError("--user and --password-file go together; one of them is missing")
    if access.user and access.token_file:
        raise UsageError("--user and --token-file: a server takes one of them; leave the other out")
    if ":" in access.user:
        raise UsageError("--user: a user of HTTP basic authentication holds no colon")
    if access.password_file:
        pair = f"{access.user}:{_secret('--password-file', access.password_file)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if access.token_file:
        token = _secret("--token-file", access.token_file)
        if not (token.isascii() and token.isprintable()) or " " in token or not token:
            raise UsageError(
                f"--token-file {access.token_file}: wanted one line with the token, found something else"
            )
        return {"Authorization": f"Bearer {token}"}
    return {}


def _secret(flag: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SECRET_BYTES).decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"{flag} {path}: cannot be read: {error}") from None
