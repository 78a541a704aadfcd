"""Answers of Prometheus' API as arrays, without an object a sample: an hour of many pods has millions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ebpf.errors import PodjouleError
from estimator.energy import FloatArray

_HEAD = b'{"status":"success"'
_SERIES, _VALUES, _END = b'{"metric":{', b'},"values":[[', b"]]"
_MATRIX = b'"resultType":"matrix"'
_FIRST_BYTES = 200


class AnswerInvalid(PodjouleError):
    """What a server answered is not what Prometheus' API answers, or is not all of it."""


@dataclass(frozen=True, slots=True)
class Series:
    """labels: with __name__ where the query keeps it. times (unix seconds, ascending), values: shape (n,)."""

    labels: Mapping[str, str]
    times: FloatArray
    values: FloatArray


def read_matrix(body: bytes) -> list[Series]:
    """The series of a query's answer, of a vector with one sample each. Raises AnswerInvalid."""
    if not (body.startswith(_HEAD) and _MATRIX in body[:_FIRST_BYTES]):
        return _read_plainly(body)
    try:
        return _scan(body)
    except (ValueError, KeyError, TypeError):
        return _read_plainly(body)


def read_data(body: bytes) -> Any:
    """What is under `data`. Raises AnswerInvalid."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise AnswerInvalid(f"wanted JSON, found {body[:40]!r}") from None
    if not isinstance(document, dict) or document.get("status") != "success" or "data" not in document:
        raise AnswerInvalid(f"wanted a successful answer, found {body[:80]!r}")
    _require_whole(document)
    return document["data"]


def _scan(body: bytes) -> list[Series]:
    """By the marks between series: within a string a quote is escaped, so no label can hold one of them.

    Raises ValueError where the rest is not what stands around series.
    """
    first, at, found = max(0, body.find(_SERIES)), 0, []
    while (values := body.find(_VALUES, at)) >= 0:
        metric, end = body.find(_SERIES, at), body.find(_END, values)
        labels = json.loads(body[metric + len(_SERIES) - 1 : values + 1])
        numbers = np.fromstring(body[values + len(_VALUES) : end].translate(None, b'[]"'), sep=",")
        times, numbers = np.ascontiguousarray(numbers.reshape(-1, 2).T)
        found.append(Series(labels, times, numbers))
        at = end + len(_END)
    around = json.loads(body[:first] + body[at + 1 :] if found else body)
    if around["data"]["result"]:
        raise ValueError
    _require_whole(around)
    return found


def _read_plainly(body: bytes) -> list[Series]:
    """The same of an answer that is written otherwise: with spaces, in another order, a vector."""
    data = read_data(body)
    try:
        return [_series(each["metric"], each.get("values") or [each["value"]]) for each in data["result"]]
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerInvalid(f"wanted series, found {type(error).__name__} {error}") from None


def _series(labels: Mapping[str, str], samples: list[tuple[float, str]]) -> Series:
    pairs = np.array([(float(at), float(value)) for at, value in samples], dtype=np.float64)
    return Series(labels, pairs[:, 0].copy(), pairs[:, 1].copy())


def _require_whole(document: Mapping[str, Any]) -> None:
    """Thanos and others answer with what they could get, and warn that it is not all."""
    said = document.get("warnings") or (["isPartial"] if document.get("isPartial") else [])
    if said:
        raise AnswerInvalid(f"the server says that its answer may lack something: {said[0]}")
