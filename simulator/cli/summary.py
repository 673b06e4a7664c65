"""The answer of a run on the terminal: figures, operators, utilization, stalls and bounds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from dieshot.simulator.cli import quantity
from dieshot.simulator.cli.output import print_json
from dieshot.simulator.cli.table import columns, console, grid

# Key of the summary, words, unit.
HEADLINES = (
    ("time_to_first_token_s", "time to first token", "s"),
    ("time_per_output_token_s", "time per output token", "s"),
    ("tokens_per_s_user", "tokens/s per user", "token/s"),
    ("tokens_per_s_system", "tokens/s of the system", "token/s"),
    ("tokens_per_s_system_with_prompt", "the same, prompts counted", "token/s"),
    ("energy_per_token_j", "energy per token", "J/token"),
    ("average_power_w", "average power", "W"),
    ("chip_power_w", "average power of a chip", "W"),
    ("cycles", "simulated cycles", ""),
    ("wall_s", "wall time", "s"),
    ("peak_rss_bytes", "peak memory", "B"),
    ("log_bytes", "result file", "B"),
)


def answer(summary: Mapping[str, Any], file: Path | None, as_json: bool, quiet: bool = False) -> None:
    """Print a run's summary as JSON or as tables, with the file that holds its cycles."""
    if as_json:
        print_json({"file": None if file is None else str(file), **summary})
    elif summary and not quiet:
        print_summary(summary, file)


def print_summary(summary: Mapping[str, Any], file: Path | None) -> None:
    """Print a run's summary as tables."""
    out = console()
    out.print(_title(summary), markup=False)
    out.print(grid((words, quantity.si(summary[key], unit)) for key, words, unit in HEADLINES if key in summary))
    published = summary.get("published_chip_power_w") or {}
    if published:
        shown = ", ".join(f"{name} {quantity.si(watts, 'W')}" for name, watts in published.items())
        out.print(f"published power of a chip: {shown}", markup=False)
    if summary.get("cost"):
        out.print(_cost(summary["cost"]), markup=False)
    for warning in summary.get("warnings") or ():
        out.print(f"warning: {warning}", markup=False)
    for table in _tables(summary):
        out.print(table)
    assumed = summary.get("assumed_parameters_read") or ()
    if assumed:
        out.print(f"{len(assumed)} assumed parameters were read; --json names them", markup=False)
    if file is not None:
        out.print(f"cycles: {file}", markup=False)


def _cost(cost: Mapping[str, Any]) -> str:
    """Return the line of the cost of tokens."""
    whole = f"cost per million output tokens: {cost['usd_per_mtoken']:.3g} USD"
    if cost["basis"] == "rent":
        return f"{whole} (rent)"
    return f"{whole} (chips {cost['capital_usd']:.3g}, electricity {cost['electricity_usd']:.3g})"


def _title(summary: Mapping[str, Any]) -> str:
    shape = [f"{key} {summary[key]:,}" for key in ("batch", "prompt", "generate") if isinstance(summary.get(key), int)]
    if summary.get("cached"):
        shape.insert(1, f"cached {summary['cached']:,}")
    used, there = summary.get("chips"), summary.get("system_chips")
    system = f"{summary.get('system', '?')}" + (f" ({used} of {there} chips)" if used != there else "")
    parts = [f"{summary.get('model', '?')} on {system}", *shape, str(summary.get("precision", ""))]
    return ", ".join(part for part in (*parts, _zeros(summary)) if part)


def _zeros(summary: Mapping[str, Any]) -> str:
    """Return what to say of sparse weights: nothing where they are dense, their density where the pattern leaves it."""
    pattern = summary.get("sparsity", "dense")
    if pattern == "dense":
        return ""
    density = f" at density {summary.get('density')}" if pattern == "unstructured" else ""
    return f"{pattern} weights{density}"


def _tables(summary: Mapping[str, Any]) -> Iterator[Table]:
    operators = summary.get("operators") or ()
    for phase in dict.fromkeys(str(each.get("phase", "")) for each in operators):
        yield _operator_table(phase, [each for each in operators if str(each.get("phase", "")) == phase])
    for key, title in (("utilization", "utilization"), ("stall_fractions", "stalls, share of all cycles")):
        if summary.get(key):
            yield columns(title, {"": "left", "share": "right"}, _share_rows(summary[key]))
    if summary.get("bounds"):
        yield columns("bounds", {"": "left", "value": "right"}, _bound_rows(summary["bounds"]))


def _operator_table(phase: str, operators: list[Mapping[str, Any]]) -> Table:
    headings = {
        "operator": "left",
        "kind": "left",
        "count": "right",
        "time": "right",
        "share": "right",
        "bound": "left",
    }
    rows = (
        (
            str(each["name"]),
            str(each.get("kind", "")),
            quantity.text("count", each.get("count")),
            quantity.si(each.get("time_s"), "s"),
            quantity.percent(each.get("share")),
            str(each.get("bound", "")),
        )
        for each in operators
    )
    return columns(f"operators, {phase}", headings, rows)


def _share_rows(shares: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in shares.items():
        if isinstance(value, Mapping):
            yield from _share_rows(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}".replace("_", " "), quantity.percent(value)


def _bound_rows(bounds: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in bounds.items():
        if isinstance(value, Mapping):
            yield from _bound_rows(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{quantity.label(key)}", quantity.text(key, value)
