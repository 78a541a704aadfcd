"""What the words on the page mean."""

from __future__ import annotations

from exporter.reports.page.cards import card
from exporter.reports.page.markup import Markup, element, joined

_MEANINGS = {
    "Low to high": (
        "The energy lies between these. A meter of a whole node is taken as exact; how a node's energy is"
        " shared out among workloads is worked out, and so is all that a model says: both have bounds."
    ),
    "Measured": (
        "The part that a meter of the machine said. The rest is the estimate of a power model, whose name"
        " and hash stand under \u201cHow sure it is\u201d."
    ),
    "Idle": (
        "What nodes draw while they wait. It is nobody's unless a policy shares it out; then it is within"
        " the energy of workloads."
    ),
    "Covered": (
        "The part of the time in which the exporters were heard. What was counted while nobody asked them"
        " is booked when it was seen; what was never counted is not made up."
    ),
    "CO\u2082e": (
        "Energy times the carbon intensity of the grid at that time, where the nodes are. By contracts: "
        "at the intensity of the energy that was bought."
    ),
    "W a CPU": (
        "Energy by CPU time: what one busy CPU of this workload draws on average, its share of idling "
        "included."
    ),
}


def reading() -> Markup:
    """The words, one after another."""
    pairs = joined(joined((element("dt", word), element("dd", said))) for word, said in _MEANINGS.items())
    return card("Reading this report", element("dl", pairs), name="reading")
