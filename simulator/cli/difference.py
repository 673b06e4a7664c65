"""Two runs side by side on the terminal: what moved, most first."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dieshot.simulator.cli import quantity
from dieshot.simulator.cli.summary import HEADLINES, answer
from dieshot.simulator.cli.table import columns, console

MOST_ROWS = 15
WORDS = {key: (words, unit) for key, words, unit in HEADLINES} | {"total_time_s": ("total time", "s")}
LEAST_SHARE = 1e-3  # of what moved most: smaller changes stay in --json
TABLES = (
    ("operators", "a user's time by operator", ("phase", "name", "kind"), "s"),
    ("kinds", "a user's time by phase and kind of operator", ("phase", "kind"), "s"),
    ("energy", "energy by kind of part", ("kind",), "J"),
    ("stalls", "time of the main part by what it did or waited for", ("state",), "s"),
)


def answer_against(
    summary: Mapping[str, Any],
    other: Mapping[str, Any],
    changes: Sequence[str],
    file: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print a run's summary, as `answer` does, and where time and energy moved from another run with `changes`."""
    from dieshot.simulator.studies.difference import difference

    moved = difference(other, summary)
    against = {"sets": list(changes), "summary": dict(other), "difference": moved}
    answer(dict(summary) | {"against": against}, file, as_json, quiet)
    if not as_json and not quiet:
        print_difference(moved, ", ".join(changes), "this run")


def print_difference(found: Mapping[str, Any], before: str, after: str) -> None:
    """Print what `difference` found; before, after: what the two runs are called."""
    out = console()
    out.print(columns("figures", _headings(("figure",), before, after), _figure_rows(found["figures"])))
    for key, title, names, unit in TABLES:
        rows = _moved(found[key])
        if rows:
            out.print(columns(f"{title}, what moved", _headings(names, before, after), _rows(rows, names, unit)))
        else:
            out.print(f"{title}: nothing moved", markup=False)


def _headings(names: Sequence[str], before: str, after: str) -> dict[str, str]:
    return dict.fromkeys(names, "left") | dict.fromkeys((before, after, "change", "%"), "right")


def _moved(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    largest = max((abs(row["change"]) for row in rows), default=0.0)
    return [row for row in rows if row["change"] and abs(row["change"]) >= LEAST_SHARE * largest][:MOST_ROWS]


def _figure_rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        words, unit = WORDS.get(row["name"], (quantity.label(row["name"]), ""))
        values = (quantity.si(row[each], unit) for each in ("before", "after", "change"))
        yield (words, *values, _percent(row))


def _rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str], unit: str) -> Iterator[tuple[str, ...]]:
    for row in rows:
        values = (quantity.si(row[each], unit) for each in ("before", "after", "change"))
        yield (*(str(row[name]) for name in names), *values, _percent(row))


def _percent(row: Mapping[str, Any]) -> str:
    return "-" if row["ratio"] is None else f"{row['ratio'] - 1:+.1%}"
