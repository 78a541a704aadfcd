"""What a CPU's name says: its key in a table of names, and the family that the vendor's numbering puts it in.

Sources: Intel, "Intel Processor Numbers" (of a Xeon's four digits the second is the generation; of a Xeon 6 a
P or an E behind them the kind of core); AMD, "EPYC Processor Model Numbers" (the last digit is the
generation, of the clouds' own parts such as 7R32 and 9B14, too); QEMU target/i386/cpu.c for what a hypervisor
writes instead.
"""

from __future__ import annotations

import re

# Patterns are text: `re` compiles them, and keeps them, when a name is first looked at.
_NOISE = (
    r"\((?:r|tm|c)\)|[®™©]|@.*$|\b\d+(?:\.\d+)?\s*[gm]hz\b|\b(?:with|w/) .*$|\bdell sku.*$"
    r"|\b(?:cpu|soc|processors?|amd|intel|genuine|aws|google|microsoft|azure|nvidia|annapurna labs|scalable"
    r"|family|64-bit|multi-core|chip|superchip)\b"
    r"|\b(?:\d+|dual|quad|six|eight|twelve|sixteen)[- \u2011]cores?\b"
    r"|\b\d+(?:st|nd|rd|th) gen(?:eration)?\b|[,:\[\]]"
)
_BRAND = r"\b(?:platinum|gold|silver|bronze|max|[edw](?= [edw]\d?-))[- ]?"
# What a Xeon of a line with letters of its own is called, wherever in a name it stands.
_LINE = r"\b(e[357])[- ](\d{4}\w*?)(?: ?(v\d))?$"
_NUMBER = r"(?:xeon|lake|rapids) (?:.* )?(?:p-)?(\d{4}\w{0,3}\+?(?:-b)?)$"
_LONE = r"^(?:[elwx]\d{4}|\d{4}\w*\+?$|[de]-\d)"
_DASHED = r"^xeon-([edw]) "
_SPACED = r"(?<=\d) (?=(?:he|ee|se)$)"


def key_of(name: str) -> str:
    """The name as tables have it: lower case, without ®, clock, "CPU", "Processor", brand or maker.

    "Intel(R) Xeon(R) Platinum 8480+ CPU @ 2.00GHz" and "Intel Xeon 8480+" are both "xeon 8480+".
    """
    told = re.sub(_BRAND, " ", re.sub(_NOISE, " ", name.lower()))
    text = re.sub(_SPACED, "", " ".join(told.split()))
    if line := re.search(_LINE, text):
        return " ".join(filter(None, ("xeon", f"{line[1]}-{line[2]}", line[3])))
    if re.match(_LONE, text):
        return f"xeon {text}"
    number = re.search(_NUMBER, text)
    return f"xeon {number[1]}" if number else re.sub(_DASHED, r"xeon \1-", text)


_MAKERS = {"hewlett": "hpe", "hp": "hpe", "new": "h3c", "qct": "quanta"}


def maker_of(name: str) -> str:
    """Who makes servers, by the first word of what DMI or a publication calls it: "Dell Inc." is "dell"."""
    first = re.match(r"[a-z0-9]*", name.lower())
    word = first[0] if first else ""
    return _MAKERS.get(word, word)


_HIDDEN = {
    "sierra ?forest": "Sierra Forest",
    "granite ?rapids": "Granite Rapids",
    "emerald ?rapids": "Emerald Rapids",
    "sapphire ?rapids": "Sapphire Rapids",
    "ice ?lake": "Ice Lake-SP",
    "cooper ?lake": "Cooper Lake",
    "cascade ?lake": "Cascade Lake",
    "skylake": "Skylake-SP",
    "broadwell": "Broadwell",
    "haswell": "Haswell",
    "ivy ?bridge": "Ivy Bridge",
    "sandy ?bridge": "Sandy Bridge",
    "westmere": "Westmere",
    "nehalem": "Nehalem",
    "naples": "Naples",
    "rome": "Rome",
    "milan": "Milan",
    "genoa": "Genoa",
    "bergamo|siena": "Bergamo",
    "turin": "Turin",
}
_NUMBERED = {
    r"epyc 7\w\w1|epyc$": "Naples",
    r"epyc 7\w\w2": "Rome",
    r"epyc 7\w\w3": "Milan",
    r"epyc (?:97\d4|8\d\d4)": "Bergamo",
    r"epyc [89]\w\w4": "Genoa",
    r"epyc 4\w\w4|ryzen (?:[3579]|threadripper)(?: pro)? [78]\d\d\d": "Zen 4",
    r"epyc 9[6-9][246]5": "Turin Dense",
    r"epyc [89]\w\w5": "Turin",
    r"epyc 4\w\w5|ryzen (?:[3579]|threadripper)(?: pro)? 9\d\d\d": "Zen 5",
    r"ryzen (?:[3579]|threadripper)(?: pro)? 1\d\d\d": "Zen",
    r"ryzen (?:[3579]|threadripper)(?: pro)? 2\d\d\d": "Zen+",
    r"ryzen (?:[3579]|threadripper)(?: pro)? [34]\d\d\d": "Zen 2",
    r"ryzen (?:[3579]|threadripper)(?: pro)? [56]\d\d\d": "Zen 3",
    r"opteron [346]3\d\d": "Piledriver",
    r"opteron [346]2\d\d": "Bulldozer",
    r"opteron": "K10",
    r"xeon e[57]-\w+ v4|xeon d-1[56]": "Broadwell",
    r"xeon e3-\w+ v4": "Broadwell client",
    r"xeon e[57]-\w+ v3": "Haswell",
    r"xeon e3-\w+ v3|core i\d-4\d\d\d": "Haswell client",
    r"xeon e[57]-\w+ v2": "Ivy Bridge",
    r"xeon e3-\w+ v2|core i\d-3\d\d\d": "Ivy Bridge client",
    r"xeon e3-\w+ v5|core i\d-6\d\d\d": "Skylake",
    r"xeon e3-\w+ v6|core i\d-7\d\d\d": "Kaby Lake",
    r"xeon e7-": "Westmere",
    r"xeon e5-": "Sandy Bridge",
    r"xeon e3-|core i\d-2\d\d\d": "Sandy Bridge client",
    r"xeon e-2[12]|core i\d-[89]\d\d\d": "Coffee Lake",
    r"xeon w-1[23]|core i\d-10\d\d\d": "Comet Lake",
    r"xeon e-23|core i\d-11\d\d\d": "Rocket Lake",
    r"xeon e-24|xeon 63\d\dp|core i\d-1[34]\d\d\d": "Raptor Lake",
    r"core i\d-12\d\d\d": "Alder Lake",
    r"core ultra \d 2\d\d": "Arrow Lake",
    r"core ultra \d 1\d\d": "Meteor Lake",
    r"xeon d-(?:[12]7|18)": "Ice Lake-SP",
    r"xeon [dw]-21": "Skylake-SP",
    r"xeon w-[23]2": "Cascade Lake",
    r"xeon w-33": "Ice Lake-SP",
    r"xeon w\d+-[23]4": "Sapphire Rapids",
    r"xeon w\d+-[23]5": "Emerald Rapids",
    r"xeon 6\d\d\dp": "Granite Rapids",
    r"xeon 6\d\d\de": "Sierra Forest",
    r"xeon (?:7110|51[0-6]0|50\d0)m?$|xeon [elx]?(?:7[34]|7[01]|3[023])\d\d": "Core",
    r"xeon [elx](?:3[01]|5[1-4])\d\d|xeon 5[34]\d\d$": "Core",
    r"xeon [elwx]?(?:56|36|28)\d\d|xeon \d{3}$": "Westmere",
    r"xeon [elwx](?:55|75|65|34)\d\d|core i\d-\d\d\d": "Nehalem",
    r"xeon [3-9]3\d\dh": "Cooper Lake",
    r"xeon [3-9]1\d\d": "Skylake-SP",
    r"xeon [3-9]2\d\d": "Cascade Lake",
    r"xeon [3-9]3\d\d": "Ice Lake-SP",
    r"xeon [3-9]4\d\d": "Sapphire Rapids",
    r"xeon [3-9]5\d\d": "Emerald Rapids",
    r"graviton$|.*cortex-a72": "Cortex-A72",
    r"graviton2|ampere altra|altra|.*neoverse[- ]n1": "Neoverse N1",
    r"graviton3|.*neoverse[- ]v1": "Neoverse V1",
    r"graviton4|axion|grace|.*neoverse[- ]v2": "Neoverse V2",
    r"cobalt|yitian|.*neoverse[- ]n2": "Neoverse N2",
    r"ampere ?one|ampere-1": "AmpereOne",
    r"kunpeng": "Kunpeng 920",
    r".*cortex[- ]a53": "Cortex-A53",
}
# More sockets than two: what is sold for them says so in its name.
_ONE_CHIP = (
    r"epyc (?:\w+p\w?$|8|4)|xeon (?:[ed]-|e3-|63\d\dp|\d+u$|[lx]3|3\d\d\d$|w)"
    r"|core|ryzen|grace|(?:arm )?cortex"
)
_EIGHT_CHIPS = r"xeon (?:8[34]\d\dh|8490h|8[12]\d\d|e7|[lx]75)"
_FOUR_CHIPS = r"xeon (?:e5-46|6[12]\d\d|63\d\dh|[lx]7)|opteron [68]"


def family_of_key(key: str) -> str | None:
    """The family behind a key; None where its numbering is not known."""
    numbered = next((family for pattern, family in _NUMBERED.items() if re.match(pattern, key)), None)
    return numbered or next((family for pattern, family in _HIDDEN.items() if re.search(pattern, key)), None)


def most_chips(key: str) -> int:
    """How many sockets the part is sold for: 1, 2, 4 or 8."""
    for pattern, chips in ((_ONE_CHIP, 1), (_EIGHT_CHIPS, 8), (_FOUR_CHIPS, 4)):
        if re.match(pattern, key):
            return chips
    return 2


def chips_by_name(key: str) -> float | None:
    """1 for a part that is sold for one socket; else nobody knows."""
    return 1.0 if most_chips(key) == 1 else None
