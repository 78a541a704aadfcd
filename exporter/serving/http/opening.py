"""The web server as it is configured."""

from __future__ import annotations

from exporter.configuration.option_tree import Web
from exporter.serving.http.answering import Application
from exporter.serving.http.server import Limits, Server


def build_server(web: Web, application: Application) -> Server:
    """A server that is not bound yet. Raises UsageError for a web configuration file that cannot be used."""
    limits = Limits(requests=web.max_requests)
    if web.config_file is None:
        return Server(web.listen_addresses, application, limits)
    # bcrypt and YAML: who has no such file does not pay for them
    from exporter.serving.security.guard import Guard
    from exporter.serving.security.security import WebSecurity

    security = WebSecurity(web.config_file)
    return Server(web.listen_addresses, application, limits, security, Guard(lambda: security.config))
