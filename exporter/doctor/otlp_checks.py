"""The check of where counters are pushed to; made where that is asked for."""

from __future__ import annotations

from ebpf.errors import UsageError
from exporter.configuration.config import Config
from exporter.doctor.finding import Check
from exporter.otlp.opening import open_sender
from exporter.otlp.outcome import PushFailed

_MENDS = {
    "headers": "correct otlp.headersFile",
    "unreachable": "correct otlp.endpoint, or start what listens there",
    "tls": "name the CA of its certificate in otlp.caFile",
}


def check_otlp(config: Config) -> Check:
    """The endpoint takes a push: one that holds no counters, sent as `run` sends them."""
    try:
        sender = open_sender(config)
    except UsageError as error:
        return Check("otlp", "fail", str(error), "install it or correct the path", required=True)
    if sender is None:
        return Check("otlp", "ok", "no endpoint")
    try:
        sender.push_nothing()
    except PushFailed as failed:
        mend = _MENDS.get(failed.reason, "look at the endpoint's own log")
        return Check("otlp", "warn", f"{config.otlp.endpoint} takes no push: {failed}", mend)
    finally:
        sender.close()
    return Check("otlp", "ok", f"{config.otlp.endpoint} takes pushes")
