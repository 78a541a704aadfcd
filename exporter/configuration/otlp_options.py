"""The section of the configuration about pushing counters over OTLP."""

# ruff: noqa: RUF009 - option() is dataclasses.field with the option beside it

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporter.configuration.options import option
from exporter.configuration.value_types import (
    attributes,
    choice,
    duration,
    http_url,
    optional,
    optional_path,
)


@dataclass(frozen=True, slots=True)
class Otlp:
    """Pushing over OTLP, beside the page."""

    endpoint: str | None = option(
        "otlp.endpoint",
        optional(http_url()),
        None,
        "Where counters are pushed over OTLP/HTTP, such as http://collector:4318; /v1/metrics is added where"
        " there is no path",
        default_description="nothing is pushed",
    )
    interval_seconds: float = option(
        "otlp.pushInterval",
        duration(minimum=1.0),
        30.0,
        "Time between two pushes; one may take a third of it",
    )
    headers_file: Path | None = option(
        "otlp.headersFile",
        optional_path(),
        None,
        "File with a line `name: value` for each header that a push carries, such as Authorization; read anew"
        " each time",
        default_description="no headers",
    )
    ca_file: Path | None = option(
        "otlp.caFile",
        optional_path(),
        None,
        "CA certificates by which the endpoint's own is verified",
        default_description="those that Python's requests brings",
    )
    compression: str = option("otlp.compression", choice("gzip", "none"), "gzip", "How a push is compressed")
    attributes: tuple[tuple[str, str], ...] = option(
        "otlp.attributes",
        attributes(),
        (),
        "Attributes that every resource carries, such as k8s.cluster.name=prod; may be given more than once",
        flag="--otlp.attribute",
    )
