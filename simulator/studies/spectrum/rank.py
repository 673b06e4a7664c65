"""Whether systems stand in the order in which others have published them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean
from typing import Any

from dieshot.simulator.studies.spectrum.published import SINGLE_STREAM, Figure

LEAST = 3  # two points are always in some order


def order_of_published(rows: Sequence[dict[str, Any]], figures: Sequence[Figure]) -> dict[str, Any]:
    """Return {systems, spearman, pairs}: the rank correlation of simulated and published single streams.

    Several figures of a system count as their geometric mean; those with speculative decoding, which is not simulated,
    are left out. spearman: None with fewer than three systems.
    """
    pairs = []
    for row in rows:
        found = [
            each.value
            for each in figures
            if row["model"] and each.of(row["system"], row["model"])
            if each.metric == SINGLE_STREAM and each.speculation == "no"
        ]
        if found and row["refused"] is None:
            pairs.append({"system": row["system"], "simulated": row[SINGLE_STREAM], "published": geometric_mean(found)})
    simulated, published = ([pair[key] for pair in pairs] for key in ("simulated", "published"))
    return {"systems": len(pairs), "spearman": spearman(simulated, published), "pairs": pairs}


def spearman(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, ties sharing their mean rank; None with fewer than three or all equal."""
    if len(ours) < LEAST:
        return None
    a, b = _ranks(ours), _ranks(theirs)
    mean = (len(a) + 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    spread = sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)
    return float(covariance / spread**0.5) if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]
