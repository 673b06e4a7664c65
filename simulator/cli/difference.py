"""Two runs on the terminal: what became faster and slower, what sets the time now, and what moved, most first."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dieshot.simulator.cli import quantity
from dieshot.simulator.cli.summary import HEADLINES, answer
from dieshot.simulator.cli.table import columns, console

MOST_ROWS = 15
MOST_NAMED = 3
WORDS = {key: (words, unit) for key, words, unit in HEADLINES} | {"total_time_s": ("total time", "s")}
LEAST_SHARE = 1e-3  # of what moved most: smaller changes stay in --json
TABLES = (
    ("operators", "a user's time by operator", ("phase", "name", "kind"), "s"),
    ("kinds", "a user's time by phase and kind of operator", ("phase", "kind"), "s"),
    ("components", "time of the parts by what they did or waited for", ("kind", "state"), "s"),
    ("utilization", "utilization", ("kind",), ""),
    ("energy", "energy by kind of part", ("kind",), "J"),
    ("stalls", "time of the main part by what it did or waited for", ("state",), "s"),
)
# In place of the first where the runs make other numbers of tokens.
PER_TOKEN = {
    "operators": ("operators_per_token", "a user's time per output token by operator"),
    "energy": ("energy_per_token", "energy per output token by kind of part"),
}
WORKLOAD = {"batch", "prompt", "generate", "cached"}
NOTHING = "nothing moved"


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

    found = difference(other, summary)
    against = {"sets": list(changes), "summary": dict(other), "difference": found}
    answer(dict(summary) | {"against": against}, file, as_json, quiet)
    if not as_json and not quiet:
        print_difference(found, ", ".join(changes), "this run")


def answer_told(
    summary: Mapping[str, Any], told: Mapping[str, Any] | None, file: Path | None, as_json: bool, quiet: bool = False
) -> None:
    """Print a run's summary and, where it was compared with another, what `Against.told` says of the two."""
    if told is None:
        answer(summary, file, as_json, quiet)
        return
    found = {key: value for key, value in told.items() if key != "against"}
    against = dict(told["against"]) | {"difference": found}
    answer(dict(summary) | {"against": against}, file, as_json, quiet)
    if not as_json and not quiet:
        print_difference(found, told["against"]["file"], "this run")


def print_difference(found: Mapping[str, Any], before: str, after: str, out: Console | None = None) -> None:
    """Print what `difference` found; before, after: what the two runs are called; out: where to, if no terminal."""
    from dieshot.simulator.studies.difference import moved

    out = out or console()
    if not moved(found):
        out.print(f"{after} and {before}: {NOTHING}", markup=False)
        return
    for line in sentences(found):
        out.print(line, markup=False)
    if found["inputs"]:
        rows = (
            (each["name"].replace("_", " "), _text(each["before"]), _text(each["after"])) for each in found["inputs"]
        )
        out.print(columns("what was asked for", {"": "left", before: "right", after: "right"}, rows))
    out.print(columns("figures", _headings(("figure",), before, after), _figure_rows(found["figures"])))
    differs = any(each["name"] in WORKLOAD for each in found["inputs"])
    for key, title, names, unit in TABLES:
        if differs and key in PER_TOKEN:
            key, title = PER_TOKEN[key]
        rows_moved = _moved(found[key])
        if rows_moved:
            headings = _headings(names, before, after) | ({"limit": "left"} if key == "operators" else {})
            out.print(columns(f"{title}, what moved", headings, _rows(rows_moved, names, unit)))
        else:
            out.print(f"{title}: {NOTHING}", markup=False)


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what became faster, what slower, and what sets the time, before and after."""
    total = next(row for row in found["figures"] if row["name"] == "total_time_s")
    if total["change"]:
        word = "faster" if total["change"] < 0 else "slower"
        yield f"the run became {word}: {_from_to(total, 's')}"
    for word, sign in (("faster", -1), ("slower", 1)):
        rows = [row for row in _moved(found["operators"]) if row["change"] * sign > 0]
        if rows:
            named = ", ".join(f"{_name(row)} ({_from_to(row, 's')})" for row in rows[:MOST_NAMED])
            more = f", and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
            yield f"{word}: {named}{more}"
    yield from _limit_sentences(found["limits"])


def _limit_sentences(limits: Mapping[str, Any]) -> Iterator[str]:
    if not limits["before"] or not limits["after"]:
        return
    was, now = limits["before"][0], limits["after"][0]
    same = was["limit"] == now["limit"]
    words = "is still the limit" if same else "is the new limit"
    before = "" if same else f", in place of {limit_words(was['limit'])} ({quantity.percent(was['share'])})"
    share = (
        f"{quantity.percent(was['share'])} -> {quantity.percent(now['share'])}"
        if same
        else quantity.percent(now["share"])
    )
    yield f"{limit_words(now['limit'])} {words} of most operators by time ({share}){before}"
    changed = limits["operators"]
    if changed:
        named = ", ".join(
            f"{_name(row)} ({limit_words(row['limit_before'])} -> {limit_words(row['limit_after'])})"
            for row in changed[:MOST_NAMED]
        )
        more = f", and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
        yield f"another limit: {named}{more}"


def limit_words(limit: str) -> str:
    """Return the words for what sets a time: a kind of part, or a reason of waiting."""
    if limit.startswith("stall_"):
        return f"waiting for {limit.removeprefix('stall_')}"
    return limit.replace("_", " ")


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['phase']} {row['name']}".strip()


def _from_to(row: Mapping[str, Any], unit: str) -> str:
    return f"{quantity.si(row['before'], unit)} -> {quantity.si(row['after'], unit)}, {_percent(row)}"


def _text(value: Any) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _headings(names: Sequence[str], before: str, after: str) -> dict[str, str]:
    return dict.fromkeys(names, "left") | dict.fromkeys((before, after, "change", "%"), "right")


def _moved(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows that moved, most first, and after them those that only one of the runs has."""
    largest = max((abs(row["change"] or 0.0) for row in rows), default=0.0)
    both = [row for row in rows if row["change"] and abs(row["change"]) >= LEAST_SHARE * largest][:MOST_ROWS]
    return both + [row for row in rows if row["change"] is None and (row["before"] or row["after"])][:MOST_ROWS]


def _figure_rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        words, unit = WORDS.get(row["name"], (quantity.label(row["name"]), ""))
        values = (quantity.si(row[each], unit) for each in ("before", "after", "change"))
        yield (words, *values, _percent(row))


def _rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str], unit: str) -> Iterator[tuple[str, ...]]:
    for row in rows:
        values = (
            quantity.si(row[each], unit) if unit else quantity.percent(row[each])
            for each in ("before", "after", "change")
        )
        limit = (_limits(row),) if "limit_before" in row else ()
        yield (*(str(row[name]) for name in names), *values, _percent(row), *limit)


def _limits(row: Mapping[str, Any]) -> str:
    """Return what set an operator's time, and what does now where that is another."""
    told = [limit_words(row[key]) for key in ("limit_before", "limit_after") if row[key] is not None]
    return " -> ".join(dict.fromkeys(told))


def _percent(row: Mapping[str, Any]) -> str:
    if row["change"] is None and (row["before"] is None) != (row["after"] is None):
        return "only one has it"
    return "-" if row["ratio"] is None else f"{row['ratio'] - 1:+.1%}"
