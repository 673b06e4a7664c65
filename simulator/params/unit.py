"""Units: what a written unit is worth in base units, exactly.

The units that configuration files use are in a table, so that a run starts without importing pint; any other unit is
worked out by a pint registry that knows these definitions and nothing else. B is a byte, `bit` is a bit, and a bare
`b` is refused; G is 1e9 and Gi is 2**30; 1 MAC is 2 flop.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dieshot.simulator.errors import InputError, nearest_name

if TYPE_CHECKING:
    import pint

DECIMAL_PREFIXES = {
    "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
BINARY_PREFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}

PINT_DEFINITIONS = [
    *(f"{prefix}- = 1e{exponent}" for prefix, exponent in DECIMAL_PREFIXES.items() if prefix),
    *(f"{prefix}- = 2**{exponent}" for prefix, exponent in BINARY_PREFIXES.items()),
    "s = [time]",
    "metre = [length] = m",
    "bit = [information]",
    "B = 8 * bit = _ = byte",
    "J = [energy]",
    "MAC = [multiply_accumulate]",
    "op = [operation] = _ = OP",
    "flop = 0.5 * MAC = _ = FLOP",
    "cycle = [cycle]",
    "USD = [currency]",
    "V = [potential]",
    "bps = bit / s",
    "Bps = B / s",
    "W = J / s",
    "Hz = 1 / s",
    "minute = 60 * s",
    "hour = 3600 * s",
    "day = 86400 * s",
    "year = 31557600 * s",
    "Wh = 3600 * J",
]

_UNIT = re.compile(r"(1|[A-Za-z]+[23]?)([*/][A-Za-z]+[23]?)*")
_LONGEST_UNIT = 40


@dataclass(frozen=True, slots=True)
class Unit:
    """What one of a unit is worth: `scale` (exact) times the root unit of its `dimension` (such as 'bit/s')."""

    dimension: str
    scale: Fraction


def normalised(text: str) -> str:
    """Return a unit as the table spells it: no spaces around / and *, u for micro, mm2 for mm^2."""
    spelt = text.strip().replace("\u00b5", "u").replace("\u03bc", "u").replace("\u00b7", "*")
    return re.sub(r" *([*/]) *", r"\1", spelt).replace("**", "^").replace("^", "")


@functools.cache
def parse_unit(text: str) -> Unit:
    """Return the worth of a unit such as 'Gbit/s'; InputError where it is not a unit."""
    name = normalised(text)
    known = unit_table().get(name)
    if known is not None:
        return known
    if len(name) > _LONGEST_UNIT or not _UNIT.fullmatch(name):
        raise InputError("not a unit", value=text, expected="a unit such as 'ns', 'GB/s', 'MAC/cycle' or '1'")
    if re.search(r"(^|[/*])[fpnumkMGTPE]?i?b($|[/*])", name):
        raise InputError("b may be read as bit or byte", value=text, expected="'bit' or 'B' in its place")
    return _parse_with_pint(name)


def conversion(text: str, base: str) -> Fraction | None:
    """Return how many `base` units one of the unit is, exactly, or None where the dimensions differ."""
    unit, root = parse_unit(text), parse_unit(base)
    return unit.scale / root.scale if unit.dimension == root.dimension else None


@functools.cache
def unit_table() -> dict[str, Unit]:
    """Return the units that need no pint, by normalised spelling."""
    table: dict[str, Unit] = {"1": Unit("1", Fraction(1)), "%": Unit("1", Fraction(1, 100))}
    for name, dimension, worth, prefixes in _FAMILIES:
        for prefix in prefixes.split(","):
            table[f"{prefix}{name}"] = Unit(dimension, worth * prefix_scale(prefix))
    return table


def prefix_scale(prefix: str) -> Fraction:
    """Return what a prefix multiplies by: 10**9 for G, 2**30 for Gi."""
    if prefix in BINARY_PREFIXES:
        return Fraction(2 ** BINARY_PREFIXES[prefix])
    return Fraction(10) ** DECIMAL_PREFIXES[prefix]


# name after the prefix, dimension, worth without prefix in the dimension's root unit, prefixes
_FAMILIES: tuple[tuple[str, str, Fraction, str], ...] = (
    ("s", "s", Fraction(1), ",f,p,n,u,m"),
    ("minute", "s", Fraction(60), ""),
    ("hour", "s", Fraction(3600), ""),
    ("year", "s", Fraction(31557600), ""),
    ("cycle", "cycle", Fraction(1), ",k,M"),
    ("Hz", "1/s", Fraction(1), ",k,M,G"),
    ("bit", "bit", Fraction(1), ",k,M,G,T,Ki,Mi,Gi"),
    ("B", "bit", Fraction(8), ",k,M,G,T,P,Ki,Mi,Gi,Ti"),
    ("byte", "bit", Fraction(8), ""),
    ("bit/s", "bit/s", Fraction(1), ",k,M,G,T"),
    ("bps", "bit/s", Fraction(1), ",k,M,G,T"),
    ("B/s", "bit/s", Fraction(8), ",k,M,G,T,P,Ki,Mi,Gi,Ti"),
    ("Bps", "bit/s", Fraction(8), ",k,M,G,T,P"),
    ("bit/cycle", "bit/cycle", Fraction(1), ",k"),
    ("B/cycle", "bit/cycle", Fraction(8), ",k,Ki"),
    ("op/cycle", "op/cycle", Fraction(1), ",k"),
    ("op/s", "op/s", Fraction(1), ",k,M,G,T,P"),
    ("MAC/cycle", "MAC/cycle", Fraction(1), ",k"),
    ("flop/cycle", "MAC/cycle", Fraction(1, 2), ",k"),
    ("FLOP/cycle", "MAC/cycle", Fraction(1, 2), ",k"),
    ("MAC/s", "MAC/s", Fraction(1), ",M,G,T,P"),
    ("flop/s", "MAC/s", Fraction(1, 2), ",M,G,T,P"),
    ("FLOP/s", "MAC/s", Fraction(1, 2), ",M,G,T,P"),
    ("W", "J/s", Fraction(1), ",n,u,m,k,M"),
    ("J", "J", Fraction(1), ",f,p,n,u,m,k"),
    ("Wh", "J", Fraction(3600), ",k,M"),
    ("J/bit", "J/bit", Fraction(1), ",f,p,n"),
    ("J/B", "J/bit", Fraction(1, 8), ",f,p,n"),
    ("J/MAC", "J/MAC", Fraction(1), ",f,p,n"),
    ("J/flop", "J/MAC", Fraction(2), ",f,p,n"),
    ("J/op", "J/op", Fraction(1), ",f,p,n"),
    ("m", "metre", Fraction(1), ",m"),
    ("m2", "metre*metre", Fraction(1), ""),
    ("mm2", "metre*metre", Fraction(1, 10**6), ""),
    ("um2", "metre*metre", Fraction(1, 10**12), ""),
    ("USD", "USD", Fraction(1), ",k,M"),
    ("USD/hour", "USD/s", Fraction(1, 3600), ""),
    ("USD/kWh", "USD/J", Fraction(1, 3_600_000), ""),
    ("V", "V", Fraction(1), ",m,u"),
)


@functools.cache
def registry() -> pint.UnitRegistry[Fraction]:
    """Return the one pint registry, with exact numbers and only the units defined here."""
    import pint  # a fifth of a second, and seldom needed

    units: pint.UnitRegistry[Fraction] = pint.UnitRegistry(None, non_int_type=Fraction, cache_folder=None)
    for definition in PINT_DEFINITIONS:
        units.define(definition)
    return units


def _parse_with_pint(name: str) -> Unit:
    spelt = re.sub(r"([23])(?=$|[*/])", r"**\1", name)
    try:
        if any(map(_is_plural, re.split("[*/]", name))):
            raise ValueError("a plural")
        root = registry().Quantity(Fraction(1), registry().parse_units(spelt)).to_root_units()
    except Exception as failure:  # pint raises half a dozen unrelated kinds
        nearest = nearest_name(name, unit_table())
        raise InputError(
            "unknown unit", value=name, expected="a unit such as 'ns', 'GB/s' or 'MAC/cycle'", nearest=nearest
        ) from failure
    return Unit(_dimension(root), Fraction(root.magnitude))


def _is_plural(term: str) -> bool:
    # pint would read Ws as several watts, where its writer meant watt seconds
    return term.endswith("s") and term[:-1] not in DECIMAL_PREFIXES and not term.lower().endswith("bps")


def _dimension(root: Any) -> str:
    powers = sorted((str(unit), int(power)) for unit, power in root.unit_items())
    above = [unit for unit, power in powers for _ in range(power)]
    below = [unit for unit, power in powers for _ in range(-power)]
    return "".join([("*".join(above) or "1"), *(f"/{unit}" for unit in below)])
