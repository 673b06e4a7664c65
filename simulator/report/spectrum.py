"""The rows of a spectrum, for the terminal and the page."""

from collections.abc import Mapping
from typing import Any

# "user": token/s of one user alone; "all": of all users together. The page has the words in full.
HEADINGS = {
    "system": "left",
    "chips": "right",
    "format": "left",
    "user tok/s": "right",
    "published": "right",
    "all tok/s": "right",
    "batch": "right",
    "J/tok": "right",
    "kW": "right",
    "$/Mtok": "right",
    "waits for": "left",
    "assumed": "right",
}


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["system"],
        f"{row['chips']:,}",
        row["precision"],
        _short(row["tokens_per_s_user"]),
        _published(row, "tokens_per_s_user"),
        _short(row["tokens_per_s_system"]),
        f"{row['batch']:,}" if row["batch"] else "-",
        _short(row["energy_per_token_j"]),
        _short(row["power_w"] and row["power_w"] / 1000),
        _short(row["usd_per_mtoken"]) + ("r" if row["usd_basis"] == "rent" else ""),
        f"{row['stall']} {row['stall_share']:.0%}",
        f"{row['assumed_share']:.0%}",
    )


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _published(row: Mapping[str, Any], metric: str) -> str:
    """Return the published figures; those with speculative decoding, or perhaps, are marked."""
    marks = {"no": "", "yes": "*", "unknown": "?"}
    figures = (each for each in row["published"] if each["metric"] == metric)
    return ", ".join(f"{_short(each['value'])}{marks[each['speculation']]}" for each in figures)


def order_line(order: Mapping[str, Any]) -> str:
    """Return in words whether the systems stand in the order of the published figures."""
    n_systems, rank = order["systems"], order["spearman"]
    if rank is None:
        return f"{n_systems} systems have published single streams of this model: too few to compare their order"
    return f"order of the {n_systems} systems with published single streams: rank correlation {rank:.2f}"
