"""The flags by which the commands of `podjoule report` reach a server of Prometheus' API."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.configuration.options import argument_type
from exporter.configuration.value_types import http_url

if TYPE_CHECKING:
    from exporter.http_access import Access


def add_server(parser: ArgumentParser, purpose: str, *, required: bool) -> None:
    """Give a parser --prometheus and the flags of who asks."""
    parser.add_argument(
        "--prometheus",
        required=required,
        type=argument_type(http_url(), "--prometheus"),
        metavar="URL",
        help=purpose,
    )
    parser.add_argument("--user", default="", help="user of the server, with --password-file")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="holds the password")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="holds a bearer token")
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="PEM certificates of those who may vouch for the server"
    )
    parser.add_argument(
        "--tenant", default="", metavar="ID", help="whose series Mimir or Cortex is asked for (X-Scope-OrgID)"
    )


def access_of(arguments: Namespace) -> Access:
    """How the server is reached, from these flags."""
    from exporter.http_access import Access

    return Access(
        arguments.prometheus.rstrip("/"),
        arguments.user,
        arguments.password_file,
        arguments.token_file,
        arguments.ca_file,
        arguments.tenant,
    )
