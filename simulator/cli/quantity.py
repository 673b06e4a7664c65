"""Numbers as a person reads them: an SI prefix and four digits, the unit taken from the name's suffix."""

import math
from typing import Any

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}

# Longest suffix first: `hbm_bytes_per_s` is a rate, `log_bytes` a size.
_SUFFIX_UNITS = (
    ("_tokens_per_s", "token/s"),
    ("_flop_per_s", "FLOP/s"),
    ("_macs_per_s", "MAC/s"),
    ("_bytes_per_s", "B/s"),
    ("_bits_per_s", "bit/s"),
    ("_cycles", "cycles"),
    ("_bytes", "B"),
    ("_hz", "Hz"),
    ("_fs", "fs"),
    ("_fj", "fJ"),
    ("_s", "s"),
    ("_j", "J"),
    ("_w", "W"),
)
# What is shown in place of a base unit, and how much of it one is.
_SCALES = {"fs": (1e-15, "s"), "fJ": (1e-15, "J"), "mW": (1e-3, "W"), "B": (1, "B")}


def si(value: float | None, unit: str, digits: int = 4) -> str:
    """Return `value` (in `unit`) with the SI prefix that leaves one to three digits before the point."""
    if value is None or math.isnan(value):
        return "-"
    if unit in {"cycles", ""}:
        return f"{value:,.0f} {unit}".rstrip() if float(value).is_integer() else f"{value:,.{digits}g} {unit}".rstrip()
    if value == 0 or math.isinf(value):
        return f"{value:g} {unit}"
    exponent = 3 * math.floor(math.log10(abs(value)) / 3)
    if float(f"{abs(value):.{digits - 1}e}") >= 10.0 ** (exponent + 3):  # 999.96 reads as 1.000 k
        exponent += 3
    exponent = min(max(exponent, min(_PREFIXES)), max(_PREFIXES))
    mantissa = value / 10.0**exponent
    if not 0.1 <= abs(mantissa) <= 1000:  # beyond the last prefix
        return f"{mantissa:.{digits}g} {_PREFIXES[exponent]}{unit}"
    decimals = max(0, digits - 1 - max(0, math.floor(math.log10(abs(mantissa)))))
    return f"{mantissa:.{decimals}f} {_PREFIXES[exponent]}{unit}"


def in_unit(value: float, unit: str) -> str:
    """Return a value in the base unit of a parameter ("fs", "fJ/B", "cycle", "1") as a person reads it."""
    base, _, per = unit.partition("/")
    if base in _SCALES:
        scale, shown = _SCALES[base]
        return si(value * scale, shown + (f"/{per}" if per else ""))
    return f"{value:,.6g}" if unit == "1" else f"{value:,.6g} {unit}"


def percent(fraction: float | None) -> str:
    """Return a fraction as a percentage with one decimal."""
    return "-" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f} %"


def label(key: str) -> str:
    """Return the words of a key, without its unit."""
    for suffix, _ in _SUFFIX_UNITS:
        if key.endswith(suffix) and key != suffix:
            return key.removesuffix(suffix).replace("_", " ")
    return key.replace("_", " ")


def unit(key: str) -> str | None:
    """Return the unit that the suffix of a key names, None if it names none."""
    return next((unit for suffix, unit in _SUFFIX_UNITS if key.endswith(suffix) and key != suffix), None)


def text(key: str, value: Any) -> str:
    """Return `value` as text, with the unit that the suffix of `key` names."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value)
    for suffix, unit in _SUFFIX_UNITS:
        if key.endswith(suffix):
            scale, base_unit = _SCALES.get(unit, (1, unit))
            return si(value * scale, base_unit)
    if key.endswith(("_fraction", "_share", "utilization")):
        return percent(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
