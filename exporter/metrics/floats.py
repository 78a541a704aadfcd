"""Floats as Prometheus' text formats spell them, many at once: the fewest digits that read back the same.

Python's repr finds them at 0.6 µs a float, which is most of what rendering costs. orjson (extra `fast`) takes
a tenth of that and writes most of them as Prometheus does, and small ones nearly so. The others, and all
where it is not installed, are done together in numpy, with integers and exact products alone, and whatever is
not beyond doubt (ties, powers of two, values far from 1) is left to repr. Sources: Steele and White, "How to
print floating-point numbers accurately", 1990; for the exact product Dekker, "A floating-point technique",
1971.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

# Below, numpy's cost per call outweighs what it saves per value.
_FEW = 300

_DIGITS = 17  # enough for any float64 to be read back
_LOWEST, _TOP = -4, 15  # the decimal exponents done here; 10**(16 + 4) is still exact as a float
_DOUBT = 1e-6  # in units of the 17th digit; rounding errors below are 1e-14 of them

_EXPONENT_FROM = 1e6
# Between them lie what JSON spells without an exponent, and those whose exponent has one digit in JSON.
_PLAIN_FROM, _FIVE_ZEROS_FROM, _ONE_DIGIT_FROM = 1e-4, 1e-5, 1e-9

_POWERS = np.array([float(f"1e{exponent}") for exponent in range(_LOWEST, _TOP)])
_SCALES = np.array([float(f"1e{_DIGITS - 1 - exponent}") for exponent in range(_LOWEST, _TOP)])
# The ASCII of 0000 to 9999, four digits to one item, so that a look-up fetches four.
_FOUR_DIGITS = (
    (np.arange(10_000)[:, None] // (1000, 100, 10, 1) % 10 + ord("0")).astype(np.uint8).view(np.uint32)[:, 0]
)

_NOT_FINITE = {"inf": b"+Inf", "-inf": b"-Inf", "nan": b"NaN"}


def json_writer() -> Callable[[Floats], bytes] | None:
    """What writes many values as JSON does, with a comma in between; None where orjson is not installed."""
    try:
        import orjson
    except ImportError:
        return None
    return lambda values: orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


write_json = json_writer()


def format_floats(values: Floats) -> list[bytes]:
    """Each value as prometheus_client's floatToGoString writes it, which imitates Go's strconv 'g'.

    values: shape (n,). From 1e6 on with an exponent, negative ones as Python spells them. Between 1e10 and
    1e16 prometheus_client before 0.23 wrote e+010 for e+10: the same number, not Go's spelling.
    """
    if (write := write_json) is None or not len(values):
        return _format_all(values)
    sizes = np.abs(values)
    as_json = ((sizes >= _PLAIN_FROM) & (sizes < _EXPONENT_FROM)) | (sizes < _ONE_DIGIT_FROM)
    if as_json.all():
        return write(values).split(b",")
    five_zeros = (values >= _FIVE_ZEROS_FROM) & (values < _PLAIN_FROM)
    one_digit = (values >= _ONE_DIGIT_FROM) & (values < _FIVE_ZEROS_FROM)
    kinds: tuple[tuple[npt.NDArray[np.bool_], Callable[[Floats], list[bytes]]], ...] = (
        (as_json, lambda some: write(some).split(b",")),
        (five_zeros, lambda some: _with_exponent(some, write(some))),
        (one_digit, lambda some: write(some).replace(b"e-", b"e-0").split(b",")),
        (~(as_json | five_zeros | one_digit), _format_all),
    )
    texts = np.empty(len(values), object)
    for rows, spell in kinds:
        if rows.any():
            texts[rows] = spell(values[rows])
    found: list[bytes] = texts.tolist()
    return found


def _with_exponent(values: Floats, json: bytes) -> list[bytes]:
    """d.dde-05 of values that JSON writes as 0.0000ddd; of what a library writes otherwise, Python's."""
    before, *digits = (b"," + json).split(b",0.0000")
    if before or len(digits) != len(values):
        return _format_all(values)
    return [b"%b.%be-05" % (each[:1], each[1:]) if len(each) > 1 else b"%be-05" % each for each in digits]


def _format_all(values: Floats) -> list[bytes]:
    if len(values) < _FEW:
        return list(map(_format, values.tolist()))
    digits, exponents, sure = _shortest(values)
    texts = np.empty(len(values), object)
    for exponent in range(_LOWEST, _TOP):
        rows = np.flatnonzero(sure & (exponents == exponent))
        if not len(rows):
            continue
        texts[rows] = _spell(digits[rows], exponent)
    for row in np.flatnonzero(~sure).tolist():
        texts[row] = _format(float(values[row]))
    found: list[bytes] = texts.tolist()
    return found


def _format(value: float) -> bytes:
    text = repr(value)
    if value < _EXPONENT_FROM:
        return text.encode() if value != -np.inf else b"-Inf"
    whole, dot, fraction = text.partition(".")
    if not dot or len(whole) < 7:  # not finite, or from 1e16 on, where repr writes an exponent itself
        return _NOT_FINITE.get(text) or text.encode()
    mantissa = f"{whole[0]}.{whole[1:]}{fraction}".rstrip("0.")
    return f"{mantissa}e+{len(whole) - 1:02d}".encode()


def _shortest(values: Floats) -> tuple[Integers, Integers, npt.NDArray[np.bool_]]:
    """Each value's 17 digits, zeros behind the last that is needed; its decimal exponent; if that is sure."""
    sure = (values >= _POWERS[0]) & (values < _POWERS[-1])
    values = np.where(sure, values, 3.0)
    index = np.searchsorted(_POWERS, values, side="right") - 1
    whole, rest = _scaled(values, _SCALES[index])
    half_gap = np.spacing(values) * _SCALES[index] / 2  # floats half way to the next read back as another one
    # The gap holds at most one multiple of 100, which then is the shortest, whatever zeros it ends in.
    to_ten, ten_off = _nearest_multiple(whole, rest, 10)
    to_hundred, hundred_off = _nearest_multiple(whole, rest, 100)
    digits = whole + np.where(hundred_off < half_gap, to_hundred, np.where(ten_off < half_gap, to_ten, 0))
    for off, limit in ((np.abs(rest), 0.5), (ten_off, 5.0), (ten_off, half_gap), (hundred_off, half_gap)):
        sure &= np.abs(off - limit) > _DOUBT
    sure &= (digits >= 10**16) & (digits < 10**17)
    sure &= np.frexp(values)[0] != 0.5  # below a power of two the gap is half as wide
    return digits, index + _LOWEST, sure


def _scaled(values: Floats, scales: Floats) -> tuple[Integers, Floats]:
    """values * scales exactly, as the nearest integer and the rest in [-0.5, 0.5]."""
    product = values * scales  # above 2**53, so an integer
    high, scale_high = _high_half(values), _high_half(scales)
    low, scale_low = values - high, scales - scale_high
    error = ((high * scale_high - product) + high * scale_low + low * scale_high) + low * scale_low
    nearest = np.rint(error)
    return product.astype(np.int64) + nearest.astype(np.int64), error - nearest


def _high_half(values: Floats) -> Floats:
    shifted = values * (2.0**27 + 1)
    return shifted - (shifted - values)


def _nearest_multiple(whole: Integers, rest: Floats, step: int) -> tuple[Integers, Floats]:
    """What to add to `whole` for the multiple of `step` nearest to whole + rest, and how far that is off."""
    above = whole % step
    delta = np.where(above + rest > step / 2, step - above, -above)
    return delta, np.abs(delta - rest)


def _spell(digits: Integers, exponent: int) -> list[bytes]:
    """0.00ddd, d.ddd to dddddd.d, from 1e6 on d.ddde+XX; of trailing zeros one stays behind a point."""
    columns = _columns(digits)
    used = _DIGITS - np.argmax(columns[:, ::-1] != ord("0"), axis=1)
    if exponent < 0:
        return [b"0." + b"0" * (-exponent - 1) + text for text in _cut(columns, used)]
    if exponent < 6:
        point = exponent + 1
        return _cut(_with_point(columns, point), np.maximum(used, point + 1) + 1)
    suffix = b"e+%02d" % exponent
    return [text + suffix for text in _cut(_with_point(columns, 1), np.where(used > 1, used + 1, 1))]


def _columns(digits: Integers) -> Bytes:
    """One ASCII digit a column, shape (n, 17)."""
    fours = np.empty((len(digits), 5), np.intp)
    for column in range(4, 0, -1):
        digits, fours[:, column] = digits // 10_000, digits % 10_000
    fours[:, 0] = digits
    return _FOUR_DIGITS[fours].view(np.uint8)[:, 3:]


def _with_point(columns: Bytes, index: int) -> Bytes:
    point = np.full((len(columns), 1), ord("."), np.uint8)
    return np.hstack([columns[:, :index], point, columns[:, index:]])


def _cut(columns: Bytes, lengths: Integers) -> list[bytes]:
    """Each row up to its length: numpy's S type drops the NULs at an end."""
    width = columns.shape[1]
    kept = columns * (np.arange(width) < lengths[:, None])
    texts: list[bytes] = kept.view(f"S{width}").ravel().tolist()
    return texts
