"""The web server as it is configured."""

from __future__ import annotations

from exporter.sections import Web
from exporter.web.reply import WsgiApplication
from exporter.web.server import Limits, Server


def build_server(web: Web, application: WsgiApplication) -> Server:
    """A server that is not bound yet. Raises UsageError for a web configuration file that cannot be used."""
    limits = Limits(requests=web.max_requests)
    if web.config_file is None:
        return Server(web.listen_addresses, application, limits)
    from exporter.web.guard import Guard  # bcrypt and YAML: who has no such file does not pay for them
    from exporter.web.security import WebSecurity

    security = WebSecurity(web.config_file)
    guard = Guard(application, lambda: security.config)
    return Server(web.listen_addresses, guard, limits, security)
