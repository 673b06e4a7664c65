"""What a column of figures is called on a picture: its name in words, its unit in brackets."""

from __future__ import annotations

from collections.abc import Mapping

FACTOR = "x"
OWN_VALUE = "times its own value"
WORDS: Mapping[str, str] = {
    "tokens_per_s_user": "tokens a second, one user (1/s)",
    "tokens_per_s_system": "tokens a second, all users (1/s)",
    "tokens_per_s_system_with_prompt": "tokens a second, all users, prompt counted (1/s)",
    "usd_per_mtoken": "cost (USD per million tokens)",
    "energy_per_token_j": "energy per token (J)",
    "tensor_parallel": "tensor-parallel ranks",
    "pipeline_parallel": "pipeline stages",
    "batch": "batch (sequences)",
    "prompt": "prompt (tokens)",
    "generate": "generated (tokens)",
    "cached": "in the cache before (tokens)",
}
SUFFIXES: Mapping[str, str] = {"s": "s", "j": "J", "w": "W", "bytes": "B"}


def label_of(column: str, units: Mapping[str, str]) -> str:
    """Return a column's label; `units` has those of columns whose name does not tell."""
    unit = units.get(column)
    if unit == FACTOR:
        return f"{column}, {OWN_VALUE}"
    if unit:
        return f"{column} ({unit})"
    if column in WORDS:
        return WORDS[column]
    if "." in column:
        return column
    *words, last = column.split("_")
    if words and last in SUFFIXES:
        return f"{' '.join(words)} ({SUFFIXES[last]})"
    return column.replace("_", " ")
