"""A summary as FOCUS 1.0, the FinOps Foundation's columns for cost and usage; energy and carbon are x_…
columns.

https://focus.finops.org/focus-specification/v1-0/. `focus-validator` 1.0.0 knows some columns by older names
(Provider, ResourceID, ChargeType, …): these stand beside those of the specification.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ebpf.errors import UsageError
from exporter.reports.formats.document import utc
from exporter.reports.formats.flat import csv_of
from exporter.reports.summary import Group, Summary
from exporter.tariffs.tariffs import JOULES_PER_KWH

_PROVIDER: Final = "podjoule"
_KWH: Final = "kWh"
# Nobody commits to energy here.
_NULL: Final = (
    *("ChargeClass", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName"),
    *("CommitmentDiscountStatus", "CommitmentDiscountType", "RegionId", "RegionName", "AvailabilityZone"),
)


def focus_text(summary: Summary) -> str:
    """CSV: one charge a group. Raises UsageError where rows have no cost: FOCUS is about charges."""
    if summary.total.cost is None or not summary.currency:
        raise UsageError(
            "--format focus: rows have no cost; set cost.pricePerKwh where podjoule runs, and collect again"
        )
    found = [_charge(summary, group) for group in summary.groups if group.amount.joules]
    return csv_of(found, list(found[0]) if found else [])


def _charge(summary: Summary, group: Group) -> dict[str, Any]:
    amount, kwh = group.amount, group.amount.joules / JOULES_PER_KWH
    cluster, name = ", ".join(summary.clusters), " / ".join(group.key)
    begin, end = utc(summary.from_seconds), utc(summary.to_seconds)
    costs = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
    return {
        **dict.fromkeys(costs, f"{amount.cost or 0.0:.12f}"),
        "BillingAccountId": cluster,
        "BillingAccountName": cluster,
        "BillingCurrency": summary.currency,
        "BillingPeriodStart": begin,
        "BillingPeriodEnd": end,
        "ChargePeriodStart": begin,
        "ChargePeriodEnd": end,
        **dict.fromkeys(("ChargeCategory", "ChargeType"), "Usage"),
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"Electricity of {name}",
        "ConsumedQuantity": f"{kwh:.12f}",
        "ConsumedUnit": _KWH,
        "PricingCategory": "Standard",
        "PricingQuantity": f"{kwh:.12f}",
        "PricingUnit": _KWH,
        **dict.fromkeys(("InvoiceIssuer", "InvoiceIssuerName", "Provider", "ProviderName"), _PROVIDER),
        **dict.fromkeys(("Publisher", "PublisherName"), _PROVIDER),
        **dict.fromkeys(("ResourceID", "ResourceId", "ResourceName"), name),
        **dict.fromkeys(("ListUnitPrice", "ContractedUnitPrice"), f"{(amount.cost or 0.0) / kwh:.12f}"),
        **dict.fromkeys(("SkuId", "SkuPriceId"), f"electricity-{summary.currency}"),
        "ResourceType": ", ".join(summary.by),
        "ServiceCategory": "Compute",
        "ServiceName": "Electricity",
        "SubAccountId": cluster,
        "SubAccountName": cluster,
        "Tags": json.dumps(dict(zip(summary.by, group.key, strict=True)), ensure_ascii=False),
        **dict.fromkeys(_NULL),
        **_own(group),
    }


def _own(group: Group) -> dict[str, Any]:
    amount = group.amount
    return {
        "x_EnergyJoules": amount.joules,
        "x_EnergyLowJoules": amount.low_joules,
        "x_EnergyHighJoules": amount.high_joules,
        "x_EnergyMeasuredJoules": amount.measured_joules,
        "x_CarbonGrams": amount.grams,
        "x_CarbonMarketGrams": amount.market_grams,
        "x_CpuSeconds": amount.cpu_seconds,
        "x_CoveredRatio": amount.covered_ratio,
    }
