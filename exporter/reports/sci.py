"""Software carbon intensity by ISO/IEC 21031: (E * I + M) per R, where a PromQL query counts the functional
units R."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from ebpf.errors import UsageError
from exporter.http_access import Access
from exporter.http_client import Limits, RequestFailed, get
from exporter.reports.summary import Sci, Summary
from exporter.tariffs.tariffs import JOULES_PER_KWH

RANGE: Final = "$range"
"""In a query: the span of the report, as PromQL writes a duration."""
_LIMITS = Limits(read=60.0, whole=60.0)


def sci_of(summary: Summary, query: str, unit: str, units: float) -> Sci:
    """The score of a summary. units: what the query counted. Raises UsageError where a part of it is not
    known."""
    if summary.total.grams is None:
        raise UsageError("--sci: rows have no grams; set carbon.intensity or carbon.zone where podjoule runs")
    return Sci(
        query=query,
        unit=unit,
        units=units,
        energy_kwh=summary.total.joules / JOULES_PER_KWH,
        operational_grams=summary.total.grams,
        embodied_grams=summary.embodied_grams or 0.0,
    )


def count_units(access: Access, query: str, from_seconds: int, to_seconds: int) -> float:
    """What a query, asked of a Prometheus at the end of the span, counts: one positive number.

    query: `$range` in it stands for the span. Raises UsageError for an answer that is no such number,
    RequestFailed where nobody answers.
    """
    asked = query.replace(RANGE, f"{to_seconds - from_seconds}s")
    url = access.url
    address = f"{url}/api/v1/query?{urlencode({'query': asked, 'time': to_seconds})}"
    try:
        body = get(access.open_manager(), address, access.headers(), _LIMITS)
        return _one_number(asked, json.loads(body)["data"])
    except RequestFailed as error:
        raise RequestFailed(error.kind, f"--sci: {url}: {error}; the query was {asked}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RequestFailed("unusable", f"--sci: {url}: no answer of a Prometheus ({error})") from error


def _one_number(query: str, data: Mapping[str, Any]) -> float:
    found = data["result"]
    values = [found[1]] if data["resultType"] == "scalar" else [each["value"][1] for each in found]
    if len(values) != 1:
        raise UsageError(f"--sci: wanted one series, such as sum(…), found {len(values)} for {query}")
    units = float(values[0])
    if not 0 < units < math.inf:
        raise UsageError(f"--sci: wanted a number of units above 0, found {units:g} for {query}")
    return units
