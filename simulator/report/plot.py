"""A picture of rows: one figure against another, a line or a cloud for each value of a third."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.report.label import label_of, prefix_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (8.0, 5.0)
DPI = 150
FORMATS = (".png", ".svg")
KINDS = ("line", "scatter")
SCALES = ("linear", "log")
SALT = "dieshot"  # of the ids in an SVG file, which would be drawn by chance
MOST_TICKS = 12  # values of a log axis that are all written out
FEW = 100  # a log axis from end to end, for ticks between the powers of ten
TICKS_WHERE_FEW = (1.0, 2.0, 5.0)
Row = Mapping[str, Any]


def plot(
    rows: Iterable[Row],
    x: str,
    y: str,
    path: Path | str,
    *,
    by: str | None = None,
    kind: str = "line",
    x_scale: str = "linear",
    y_scale: str = "linear",
    title: str | None = None,
    x_label: str | None = None,
    y_label: str | None = None,
    units: Mapping[str, str] | None = None,
) -> Path:
    """Draw column `y` of rows over column `x` into a PNG or SVG file, the same bytes for the same rows.

    by: a column; rows of each of its values are drawn together, and named. kind: `line` or `scatter`. units: of columns
    whose name does not tell. Rows without a number for `y`, or without `x`, are left out (a run that failed); where
    `x` is words they stand side by side. InputError where a column does not exist or nothing is left to draw.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise InputError("not a picture", key="--plot", expected="a file that ends in .png or .svg", value=str(path))
    figure = plot_figure(
        list(rows), x, y, by=by, kind=kind, x_scale=x_scale, y_scale=y_scale, units=units or {},
        title=title, x_label=x_label, y_label=y_label,
    )  # fmt: skip
    content = picture(figure, target.suffix.lower().removeprefix("."))
    try:
        target.write_bytes(content)
    except OSError as failure:
        raise InputError(f"cannot be written: {failure.strerror}", file=str(path)) from None
    return target


def plot_figure(
    rows: Sequence[Row],
    x: str,
    y: str,
    *,
    by: str | None,
    kind: str,
    x_scale: str,
    y_scale: str,
    units: Mapping[str, str],
    title: str | None = None,
    x_label: str | None = None,
    y_label: str | None = None,
) -> Figure:
    """Return what `plot` draws, as a figure."""
    from matplotlib.figure import Figure

    _check(rows, [x, y, *([by] if by else [])])
    for value, known in ((kind, KINDS), (x_scale, SCALES), (y_scale, SCALES)):
        if value not in known:
            raise InputError("unknown way to draw", expected=" or ".join(known), value=value)
    drawn = [row for row in rows if _is_drawn(row, x, y, x_scale, y_scale)]
    if not drawn:
        raise InputError("nothing to draw", key="--plot", expected=f"rows with {x} and {y}")
    part, prefix = prefix_for(y, (row[y] for row in drawn))
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots()
    for name, points in _groups(drawn, x, y, by):
        across, up = zip(*points, strict=True)
        axes.plot(
            across,
            [value / part for value in up],
            label=name,
            marker="o",
            markersize=4,
            linewidth=1.5 if kind == "line" else 0,
        )
    _scale(axes, x_scale, y_scale, sorted({row[x] for row in drawn if _is_number(row[x])}))
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.set(xlabel=x_label or label_of(x, units), ylabel=y_label or label_of(y, units, prefix))
    if title:
        axes.set_title(title, fontsize=11)
    if y_scale == "linear" and all(row[y] >= 0 for row in drawn):
        axes.set_ylim(bottom=0)
    if by:
        axes.legend(title=label_of(by, units), frameon=False)
    return figure


def picture(figure: Figure, format: str) -> bytes:
    """Return a figure as the bytes of a file, "png" or "svg": without date or chance in it."""
    import matplotlib as mpl

    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": SALT}):
        figure.savefig(content, format=format, dpi=DPI, metadata={"Date": None} if format == "svg" else None)
    return content.getvalue()


def _check(rows: Sequence[Row], columns: Sequence[str]) -> None:
    known = dict.fromkeys(column for row in rows for column in row)
    for column in columns:
        if rows and column not in known:
            nearest = nearest_name(column, known)
            raise InputError("no such column", key="--plot", expected="a column of the rows", value=column,
                             nearest=nearest)  # fmt: skip


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_drawn(row: Row, x: str, y: str, x_scale: str, y_scale: str) -> bool:
    across, up = row.get(x), row.get(y)
    if not _is_number(up) or not (_is_number(across) or isinstance(across, str)):
        return False
    return (y_scale == "linear" or up > 0) and (x_scale == "linear" or (_is_number(across) and across > 0))


def _groups(rows: Sequence[Row], x: str, y: str, by: str | None) -> list[tuple[str | None, list[tuple[Any, Any]]]]:
    """Return the points of each value of `by`, in the order of the rows; points in the order of `x` where it counts."""
    groups: dict[Any, list[tuple[Any, Any]]] = {}
    for row in rows:
        groups.setdefault(row.get(by) if by else None, []).append((row[x], row[y]))
    is_ordered = all(_is_number(row[x]) for row in rows)
    return [
        (_named(value) if by else None, sorted(points, key=lambda point: point[0]) if is_ordered else points)
        for value, points in groups.items()
    ]


def _named(value: object) -> str:
    if value is None:
        return "its own"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scale(axes: Axes, x_scale: str, y_scale: str, values: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    for scale, axis in ((x_scale, axes.xaxis), (y_scale, axes.yaxis)):
        if scale == "log":
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            low, high = axis.get_data_interval()
            if high < low * FEW:
                axis.set_major_locator(LogLocator(subs=TICKS_WHERE_FEW))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axis.set_minor_formatter(NullFormatter())
    if x_scale == "log" and len(values) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(list(values)))
        axes.xaxis.set_minor_locator(NullLocator())
