"""What `dieshot sweep` prints when it is done, and when it is asked how a store stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from dieshot.simulator.cli import quantity
from dieshot.simulator.cli.sweep_progress import duration
from dieshot.simulator.cli.table import columns, console, grid
from dieshot.simulator.errors import one_line

MOST_ERRORS, MOST_ROWS, MOST_COLUMNS = 10, 20, 6
STATES = ("done", "failed", "set_aside", "leased", "waiting")


def print_findings(found: Mapping[str, Any]) -> None:
    """Print a sweep's result."""
    out = console()
    out.print(_headline(found), markup=False)
    if found["errors"]:
        out.print(columns("errors", {"points": "right", "error": "left"}, _errors(found["errors"])))
    if found.get("pareto"):
        out.print(_front(found))
    elif "pareto" in found and found["runs"]["done"]:
        out.print(f"no run has {' and '.join(each.partition(':')[2] for each in found['objectives'])} within bounds")
    if found.get("best"):
        varied, units = found["varied"][:MOST_COLUMNS], found["units"]
        headings = {"best by": "left", "": "right"} | {_heading(name, units): "right" for name in varied}
        rows = ([quantity.label(figure), _figure(figure, row[figure]), *_values(row, varied)]
                for figure, row in found["best"].items())  # fmt: skip
        out.print(columns("", headings, rows))
    for figure, indices in found.get("sensitivity", {}).get("indices", {}).items():
        out.print(_indices(figure, indices))
    if found.get("sensitivity", {}).get("points_left_out"):
        out.print(f"{found['sensitivity']['points_left_out']:,} points take no part: compared with a run that failed")
    out.print(f"results: dieshot results {_short(found['store'])}", markup=False, soft_wrap=True)


def print_status(found: Mapping[str, Any]) -> None:
    """Print how a store stands."""
    out = console()
    headings = {"sweep": "left", "runs": "right"} | {state.replace("_", " "): "right" for state in STATES}
    rows = ([each["name"], f"{each['total']:,}", *(f"{each[state]:,}" for state in STATES)]
            for each in found["sweeps"])  # fmt: skip
    out.print(columns(one_line(found["store"]), headings, rows))
    out.print(grid(_work(found)))
    work = found["at_work"]
    if work and work["under_way"]:
        headings = {"run": "right", "for": "right", "command": "left"}
        under_way = ([f"{each['run']}", duration(each["for_s"]), one_line(each["command"])]
                     for each in work["under_way"])  # fmt: skip
        out.print(columns("under way", headings, under_way))
    if found["deaths"]:
        headings = {"run": "right", "workers": "right", "last": "left"}
        deaths = ([f"{each['run']}", f"{each['deaths']}", one_line(each["reason"])] for each in found["deaths"])
        out.print(columns("workers that died", headings, deaths))


def _headline(found: Mapping[str, Any]) -> str:
    runs = found["runs"]
    ended = [f"{runs[state]:,} {words}" for state, words in
             (("done", "done"), ("failed", "failed"), ("set_aside", "set aside"), ("waiting", "waiting"))
             if runs[state] or state == "done"]  # fmt: skip
    points = f"{found['points']:,} points, " if found["points"] != runs["total"] else ""
    now = runs["total"] - runs["waiting"] - found["already_there"]
    how = f"{now:,} now in {duration(found['wall_s'])}" if now else f"in {duration(found['wall_s'])}"
    there = f", {found['already_there']:,} were there" if found["already_there"] else ""
    return f"{found['sweep']}: {points}{runs['total']:,} runs: {', '.join(ended)}; {how}{there}"


def _front(found: Mapping[str, Any]) -> Table:
    figures = {each.partition(":")[2]: each.partition(":")[0] for each in found["objectives"]}
    varied = [name for name in found["varied"] if name not in figures][:MOST_COLUMNS]
    headings = {f"{way} {quantity.label(name)}": "right" for name, way in figures.items()}
    headings |= {_heading(name, found["units"]): "right" for name in varied}
    rows = found["pareto"]
    more = f", the first {MOST_ROWS} of {len(rows):,}" if len(rows) > MOST_ROWS else ""
    shown = ([*(_figure(name, row[name]) for name in figures), *_values(row, varied)] for row in rows[:MOST_ROWS])
    return columns(f"runs that no other beats{more}", headings, shown)


def _indices(figure: str, indices: Mapping[str, Mapping[str, float]]) -> Table:
    """Return the parameters that move a figure most, the most first."""
    names = list(next(iter(indices.values())))
    main = "ST" if "ST" in names else names[0]
    ordered = sorted(indices.items(), key=lambda each: -each[1][main])
    rows = ([parameter, *(f"{values[name]:.3g}" for name in names)] for parameter, values in ordered[:MOST_ROWS])
    more = f", the first {MOST_ROWS} of {len(ordered)}" if len(ordered) > MOST_ROWS else ""
    return columns(f"{quantity.label(figure)}{more}", {"parameter": "left"} | dict.fromkeys(names, "right"), rows)


def _errors(errors: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for each in errors[:MOST_ERRORS]:
        alike = f" (and {each['alike'] - 1:,} with other numbers)" if each["alike"] > 1 else ""
        yield f"{each['points']:,}", f"{each['error']}{alike}"
    if len(errors) > MOST_ERRORS:
        yield "", f"... and {len(errors) - MOST_ERRORS} more kinds"


def _work(found: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    client, work = found["client"], found["at_work"]
    if client is None:
        yield "client", "none at work"
    else:
        yield "client", f"process {client}" if client else "a process"
    if work:
        yield "engine", f"{work['engine']}, {work['workers']} workers"
        yield "rate", f"{work['per_s']:.3g} runs/s"
        if work["left_s"] is not None:
            yield "left", duration(work["left_s"])
    leased = sum(each["runs"] for each in found["leases"])
    if leased and client is None:
        yield "leased", f"{leased} runs that a client left; the next takes them up"


def _heading(name: str, units: Mapping[str, str]) -> str:
    short = quantity.label(name) if "." not in name else name
    return f"{short} ({units[name]})" if name in units else short


def _figure(name: str, value: float) -> str:
    return f"{value:,.0f}" if name.startswith("tokens_per_s") and value >= 1000 else quantity.text(name, value)


def _values(row: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return ["-" if row.get(name) is None else _text(row[name]) for name in names]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _short(folder: str) -> str:
    path = Path(folder)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else folder
