"""What a column of figures is called on a picture: its name in words, its unit in brackets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

FACTOR = "x"
OWN_VALUE = "times its own value"
WORDS: Mapping[str, str] = {
    "tokens_per_s_user": "tokens a second, one user (1/s)",
    "tokens_per_s_system": "tokens a second, all users (1/s)",
    "tokens_per_s_system_with_prompt": "tokens a second, all users, prompt counted (1/s)",
    "usd_per_mtoken": "cost (USD per million tokens)",
    "tensor_parallel": "tensor-parallel ranks",
    "pipeline_parallel": "pipeline stages",
    "batch": "batch (sequences)",
    "prompt": "prompt (tokens)",
    "generate": "generated (tokens)",
    "cached": "in the cache before (tokens)",
}
SUFFIXES: Mapping[str, str] = {"s": "s", "j": "J", "w": "W"}
PREFIXES: Sequence[tuple[float, str]] = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))


def label_of(column: str, units: Mapping[str, str], prefix: str = "") -> str:
    """Return a column's label, a prefix before its unit; `units` has those of columns whose name does not tell."""
    unit = units.get(column)
    if unit == FACTOR:
        return f"{column}, {OWN_VALUE}"
    if unit:
        return f"{column} ({unit})"
    if column in WORDS:
        return WORDS[column]
    own = unit_of(column)
    if own:
        return f"{column.rpartition('_')[0].replace('_', ' ')} ({prefix}{own})"
    return column if "." in column else column.replace("_", " ")


def unit_of(column: str) -> str | None:
    """Return the unit that the name of a figure ends in, None where it has none."""
    words, _, last = column.rpartition("_")
    return SUFFIXES.get(last) if words and column not in WORDS and "." not in column else None


def prefix_for(column: str, values: Iterable[float]) -> tuple[float, str]:
    """Return what values of a column are divided by to be read with ease, and the prefix of the unit then."""
    largest = max(map(abs, values), default=0.0)
    if unit_of(column) is None or largest == 0:
        return PREFIXES[0]
    return next((each for each in PREFIXES if largest >= each[0]), PREFIXES[-1])
