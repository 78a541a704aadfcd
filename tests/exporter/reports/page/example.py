"""A month of a shop that does not exist, made up so that it adds up: what the page is tried with."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import cycle

from exporter.reports.summary import Amount, Change, Group, Sci, Summary, Waster

KWH = 3_600_000.0
OCTOBER, NOVEMBER = 1790812800, 1793491200  # 2026
DAY = 86_400
GRAMS_PER_KWH, EUR_PER_KWH, PUE = 352.0, 0.31, 1.3
SHOP = {
    "shop": ("web", "search", "checkout", "cart", "prices", "recommendations", "sessions", "payments"),
    "data": ("postgres", "queue", "events-to-warehouse", "clickhouse", "cache", "backups"),
    "media": ("thumbnails", "transcoder", "image-proxy", "uploads"),
    "ml-platform": (
        "ranking-training",
        "feature-store",
        "batch-inference-of-seasonal-recommendations-for-returning-customers",
    ),
    "ci": ("runner", "registry", "sonar"),
    "monitoring": ("prometheus", "loki", "grafana", "podjoule"),
    "kube-system": ("coredns", "kube-proxy", "cilium", "metrics-server"),
    "ingress": ("nginx", "cert-manager"),
    "office": ("wiki", "tickets", "mail", "vpn"),
    "staging": ("web", "search"),
}


def amount(joules: float, sure: float = 0.05, cpu_seconds: float = 0.0) -> Amount:
    """An amount, measured in all but a fifth; sure: how far its bounds are away."""
    grams, cost = joules / KWH * GRAMS_PER_KWH, joules / KWH * EUR_PER_KWH
    return Amount(
        *(joules, joules * (1 - sure), joules * (1 + sure)),
        grams=grams,
        cost=cost,
        cpu_seconds=cpu_seconds,
        measured_joules=0.8 * joules,
        covered_ratio=0.996,
    )


def example(workloads: int = 40, title: str = "An example, made up") -> Summary:
    """A month by namespace and workload."""
    rng = random.Random(17)
    groups = [_group(rng, key, i) for i, key in zip(range(workloads), _keys(), strict=False)]
    active = sum(group.active_joules for group in groups)
    shared = sum(group.idle_share_joules for group in groups)
    kinds = {
        "active": amount(active, 0.06),
        "idle_share": amount(shared, 0.04),
        "idle": amount(0.22 * active, 0.04),
        "unattributed": amount(0.015 * active, 0.2),
    }
    nodes = _sum(kinds)
    kinds["overhead"] = amount((PUE - 1) * nodes.joules, 0.03)
    for kind in ("idle", "unattributed", "overhead"):
        before = amount(kinds[kind].joules * rng.uniform(0.8, 1.1))
        groups.append(Group((f"({kind})",) * 2, kinds[kind], 0.0, 0.0, before))
    total = _sum(kinds)
    days, parts = _days(rng, kinds)
    whole = [sum(column) for column in zip(*parts.values(), strict=True)]
    return Summary(
        title,
        ("prod-eu",),
        OCTOBER,
        NOVEMBER,
        ("namespace", "workload"),
        tuple(groups),
        total,
        nodes,
        kinds,
        2.6e-11,
        days=days,
        joules_by_day=parts,
        joules_by_source={
            "measured:rapl": 0.8 * total.joules,
            "model:xeon-6430@9f2c41d07ab35e88": 0.155 * total.joules,
            "model:specification@1b7e90cc52aa0f13": 0.045 * total.joules,
        },
        currency="EUR",
        change=_change(total.joules, total.grams or 0.0),
        wasters=_wasters(groups),
        sci=Sci(
            "sum(increase(http_requests_total[1h]))",
            "request",
            2.4e8,
            total.joules / KWH,
            total.grams or 0.0,
            96_000.0,
        ),
        embodied_grams=96_000.0,
        hours_missing=2,
        closed="3f9c2a6be0d14587a1c3b2de99f0417785d6c1e20b7a4f3698e5d0c4b1a29f67",
        low_joules_by_day=tuple(0.95 * each for each in whole),
        high_joules_by_day=tuple(1.06 * each for each in whole),
    )


def small(**other: object) -> Summary:
    """One workload and nothing else that could be left out."""
    one = Group(("web",), amount(2 * KWH), 2 * KWH, 0.0)
    bare = Summary(
        *("A day", ("prod",), OCTOBER, OCTOBER + DAY, ("namespace",), (one,)),
        *(one.amount, one.amount, {"active": one.amount}, 0.0),
    )
    return replace(bare, **other)  # type: ignore[arg-type]


def _keys() -> list[tuple[str, str]]:
    named = [(namespace, name) for namespace, names in SHOP.items() for name in names]
    more = zip(cycle(SHOP), range(5_000), strict=False)
    return named + [(namespace, f"worker-{i}") for namespace, i in more]


def _group(rng: random.Random, key: tuple[str, str], place: int) -> Group:
    joules = 300 * KWH / (place % 40 + 1.5) * rng.uniform(0.3, 1.6)
    cpu_seconds = joules / rng.uniform(2.4, 4.5)
    whole = replace(
        amount(joules, rng.uniform(0.02, 0.15), cpu_seconds),
        requested_cpu_seconds=cpu_seconds / rng.uniform(0.08, 0.9),
        measured_joules=joules * min(1.0, rng.uniform(0.5, 1.3)),
    )
    before = None if place % 11 == 5 else amount(joules * rng.uniform(0.75, 1.2))
    return Group(key, whole, 0.86 * joules, 0.14 * joules, before)


def _sum(kinds: dict[str, Amount]) -> Amount:
    low, joules, high = (
        sum(getattr(each, name) for each in kinds.values())
        for name in ("low_joules", "joules", "high_joules")
    )
    return replace(amount(joules), low_joules=low, high_joules=high)


def _days(
    rng: random.Random, kinds: dict[str, Amount]
) -> tuple[tuple[int, ...], dict[str, tuple[float, ...]]]:
    count = (NOVEMBER - OCTOBER) // DAY
    weekend = [0.68 if (day + 3) % 7 > 4 else 1.0 for day in range(count)]
    parts = {}
    for kind, of in kinds.items():
        steady = kind.startswith("idle")
        shape = [1.0 if steady else busy * rng.uniform(0.92, 1.1) for busy in weekend]
        parts[kind] = tuple(of.joules * each / sum(shape) for each in shape)
    return tuple(OCTOBER + day * DAY for day in range(count)), parts


def _change(joules: float, grams: float) -> Change:
    parts = (0.083 * joules, -0.031 * joules, -0.012 * joules, 0.002 * joules)
    return Change(sum(parts), *parts, 0.011 * grams, 0.042 * grams, -0.031 * grams)


def _wasters(groups: list[Group]) -> tuple[Waster, ...]:
    reserving = [group for group in groups if group.amount.requested_cpu_seconds]
    wasted = [
        Waster(
            group.key,
            group.amount.requested_cpu_seconds or 0.0,
            group.amount.cpu_seconds,
            group.idle_share_joules,
        )
        for group in reserving
    ]
    return tuple(sorted(wasted, key=lambda each: each.cpu_seconds - each.requested_cpu_seconds)[:10])
