"""The picture of a spectrum: what one user gets against what all users get together."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES = (9.0, 5.5)
POINTS2_PER_W = 0.01  # area of a dot by the power of all chips, beside LEAST_POINTS2
LEAST_POINTS2 = 20


def scatter_figure(rows: Iterable[Mapping[str, Any]]) -> Figure:
    """Return tokens a second of one user alone against those of all users, dots as large as the power; rows of a
    spectrum that have both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots()
    for row in rows:
        if row["tokens_per_s_system"]:
            place = (row["tokens_per_s_user"], row["tokens_per_s_system"])
            axes.scatter(*place, s=LEAST_POINTS2 + (row["power_w"] or 0) * POINTS2_PER_W, alpha=0.6)
            axes.annotate(row["system"], place, xytext=(6, -3), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="token/s, one user alone", ylabel="token/s, all users together")
    axes.margins(x=0.12)  # room for the names
    axes.grid(visible=True, which="both", alpha=0.2)
    return figure


def svg(figure: Figure) -> str:
    """Return a figure as SVG to stand in a page; the same figure gives the same text."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "dieshot"}):
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    _, start, rest = text.getvalue().partition("<svg")
    return start + rest
