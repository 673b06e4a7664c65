"""Rows of results as they leave: a table for people, CSV and JSON with exact figures, a file."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dieshot.simulator.cli import quantity
from dieshot.simulator.errors import one_line
from dieshot.simulator.store.answer import Answer

MAIN = (
    "time_to_first_token_s",
    "time_per_output_token_s",
    "tokens_per_s_user",
    "tokens_per_s_system",
    "energy_per_token_j",
    "average_power_w",
    "usd_per_mtoken",
)
MOST_PER_CHARACTER = 10  # of what an escape such as \U0001f600 takes
APART = ("state", "error", "key", "command")


def columns_of(rows: Answer) -> dict[str, dict[str, str | None]]:
    """Return type and unit of every column."""
    return {name: {"type": kind, "unit": quantity.unit(name)} for name, kind in rows.kinds.items()}


def records(rows: Answer) -> list[dict[str, Any]]:
    """Return the rows by name of column."""
    return [dict(zip(rows.names, cells, strict=True)) for cells in rows]


def print_csv(rows: Answer, file: IO[str] | None = None) -> int:
    """Write a heading and the rows; a number as Python reads it back to the last bit, nothing for null."""
    out = file or sys.stdout
    writer = csv.writer(out, lineterminator="\n")
    escaped = out.isatty()  # a stranger's text must not speak to a terminal; elsewhere it is as it is
    as_it_is = not escaped and "boolean" not in rows.kinds.values()
    writer.writerow([_written(name, escaped) for name in rows.names])
    n = 0
    for n, cells in enumerate(rows, 1):  # noqa: B007
        writer.writerow(cells if as_it_is else [_written(cell, escaped) for cell in cells])
    return n


def _written(cell: Any, escaped: bool) -> Any:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return one_line(cell, MOST_PER_CHARACTER * len(cell)) if escaped and isinstance(cell, str) else cell


def print_json(rows: Answer, file: IO[str] | None = None) -> int:
    """Write {columns: {name: {type, unit}}, rows: [{name: value}]}, one row a line; null for what is no JSON."""
    out = file or sys.stdout
    out.write(f'{{"columns": {json.dumps(columns_of(rows))}, "rows": [')
    n = 0
    for n, cells in enumerate(rows, 1):
        values = (None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in cells)
        row = json.dumps(dict(zip(rows.names, values, strict=True)), allow_nan=False, default=str)
        out.write(f"{',' if n > 1 else ''}\n{row}")
    out.write("\n]}\n")
    return n


def write(rows: Answer, file: Path) -> int:
    """Write the rows to a .csv, .json or .parquet file, in its place only once it is whole; return how many."""
    with _replacing(file) as unfinished:
        if file.suffix == ".parquet":
            return rows.write_parquet(unfinished)
        with open(unfinished, "w", encoding="utf-8", newline="") as out:
            return (print_csv if file.suffix == ".csv" else print_json)(rows, out)


def draw(rows: Answer, file: Path, x: str, y: str, by: str | None, log: str) -> None:
    """Draw one column over another into a PNG or SVG file; `log` holds the names of logarithmic axes."""
    from dieshot.simulator.report.plot import plot

    x_scale, y_scale = ("log" if axis in log else "linear" for axis in "xy")
    plot(records(rows), x, y, file, by=by, x_scale=x_scale, y_scale=y_scale)


def print_table(rows: Answer, most: int | None, everything: bool = False) -> None:
    """Print what varies as a table, what is the same in all rows on one line, runs without figures at the end.

    A single row is printed as a list. most: how many rows at most. everything: all columns, for they were asked for.
    """
    from dieshot.simulator.cli.table import columns, console, grid

    out = console()
    found = records(rows)
    if not found:
        out.print("no runs have ended that meet this")
        return
    if len(found) == 1:
        out.print(grid((one_line(name), _text(name, value)) for name, value in found[0].items() if value is not None))
        return
    shown = found if most is None else found[:most]
    same, varying, n_others = ([], rows.names, 0) if everything else _sorted_out(rows.names, shown)
    if same:
        words = ", ".join(f"{one_line(name)} {_text(name, value)}" for name, value in same)
        out.print(f"same in all: {words}", markup=False)
    done = [row for row in shown if everything or row.get("error") is None]
    failed = [row for row in shown if not everything and row.get("error") is not None]
    if done:
        sides = ["left" if _is_words(done, name) else "right" for name in varying]
        headings = dict(zip(map(one_line, varying), sides, strict=True)) if everything else _headings(varying, sides)
        out.print(columns("", headings, ([_text(name, row[name]) for name in varying] for row in done), dense=True))
    if failed:
        asked = [name for name in varying if not _is_figure(name)]
        headings = _headings([*asked, "error"], ["left"] * (len(asked) + 1))
        cells = ([*(_text(name, row[name]) for name in asked), one_line(row["error"], 1000)] for row in failed)
        out.print(columns("failed", headings, cells, dense=True))
    if len(found) > len(shown):
        out.print(f"the first {len(shown):,} rows; all: --limit N, --csv, --json or -o FILE", markup=False)
    if n_others:
        out.print(f"{n_others} more columns: --select, --csv or --json", markup=False)


def _sorted_out(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> tuple[list[tuple[str, Any]], list[str], int]:
    """Return what is the same in all rows, the columns to show, what was asked for first, and how many others vary."""
    able = [name for name in names if name not in APART]
    # What a failed run has not come to know (chips, precision) does not vary for that.
    ended = [row for row in rows if row.get("error") is None]
    seen = {name: {row[name] for row in rows} - {None} | {row[name] for row in ended} for name in able}
    varying = [name for name in able if len(seen[name]) > 1]
    figures = [name for name in MAIN if name in varying]
    asked = [name for name in varying if not _is_figure(name) and name not in ("sets", "run")]
    number = [name for name in ("point", "run") if name in varying][:1]
    chosen = [*number, *asked, *figures]
    same = [(name, value) for name in able if name not in varying and not _is_figure(name) for value in seen[name]]
    n_others = len([name for name in varying if name not in (*chosen, "run", "sets")])
    return [(name, value) for name, value in same if value not in (None, "")], chosen, n_others


def _is_figure(name: str) -> bool:
    from dieshot.simulator.sweep.objective import BY_KIND
    from dieshot.simulator.sweep.row import COST, FIGURES

    return name in FIGURES[FIGURES.index("total_time_s") :] or name == COST or BY_KIND.fullmatch(name) is not None


def _is_words(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(isinstance(row[name], str | bool) for row in rows)


def _headings(names: Sequence[str], sides: Sequence[str]) -> dict[str, str]:
    """Return the words of each name with its side; a path of a parameter, and what would read the same, as it is."""
    words = [name if "." in name else quantity.label(name) for name in names]
    shown = (name if words.count(word) > 1 else word for name, word in zip(names, words, strict=True))
    return {one_line(word, 60): side for word, side in zip(shown, sides, strict=True)}


def _text(name: str, value: Any) -> str:
    if isinstance(value, float) and 1e3 <= abs(value) < 1e9 and quantity.unit(name) is None:
        return f"{value:,.0f}"
    return one_line(value, 200) if isinstance(value, str) else quantity.text(name, value)


@contextmanager
def _replacing(file: Path) -> Iterator[Path]:
    """Hold the name of a new file beside `file`, which takes its place if all goes well."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield unfinished
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
