"""Tables on the terminal."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dieshot.simulator.cli import quantity

PIPE_WIDTH = 120


def console() -> Console:
    """Return a console on standard output as wide as the terminal, or PIPE_WIDTH when there is none."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def grid(rows: Iterable[tuple[str, str]]) -> Table:
    """Return two columns without lines: words and values."""
    table = Table.grid(padding=(0, 2))
    for words, value in rows:
        table.add_row(escape(words), escape(value))
    return table


def columns(title: str, headings: Mapping[str, str], rows: Iterable[Iterable[str]], dense: bool = False) -> Table:
    """Return a table; `headings` maps each heading to its justification. dense: with less room between columns."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=dense)
    for heading, justify in headings.items():
        table.add_column(heading, justify="right" if justify == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def print_record(record: Mapping[str, Any]) -> None:
    """Print the named figures of `record`, units taken from the names."""
    console().print(grid((quantity.label(key), quantity.text(key, value)) for key, value in record.items()))


def print_parameters(record: Mapping[str, Any]) -> None:
    """Print what `describe` found: every parameter with value, unit, kind and source."""
    out = console()
    out.print(grid((key, str(value)) for key, value in record.items() if key != "parameters"))
    headings = {"parameter": "left", "value": "right", "kind": "left", "source": "left", "basis": "left"}
    out.print(columns("", headings, (_parameter_row(each) for each in record["parameters"])))


def _parameter_row(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    source = parameter.get("source_title") or parameter.get("source") or ""
    return (parameter["path"], _written(parameter), str(parameter.get("kind", "")), str(source), _basis(parameter))


def _written(parameter: Mapping[str, Any]) -> str:
    """Return value and unit as their author wrote them, or else as the simulator uses them: so of a formula."""
    formula, value = parameter.get("formula"), parameter.get("value")
    if formula and str(parameter.get("written")).startswith(formula) and isinstance(value, int | float):
        return quantity.in_unit(value, str(parameter.get("unit", "1")))
    if parameter.get("written"):
        return str(parameter["written"])
    unit = str(parameter.get("unit", "1"))
    number = f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    return number if unit == "1" else f"{number} {unit}"


def _basis(parameter: Mapping[str, Any]) -> str:
    """Return where in its source a number stands, what it follows from, why it was assumed, and in what range."""
    words = [str(parameter[key]) for key in ("at", "why", "data", "note") if parameter.get(key)]
    if parameter.get("formula"):
        words.insert(0, f"= {parameter['formula']}")
    if parameter.get("residual"):
        words.append(f"residual {parameter['residual']}")
    if parameter.get("written_range"):
        words.append(f"range {parameter['written_range']}")
    elif parameter.get("range"):
        low, high = parameter["range"]
        words.append(f"range {low:,} to {high:,}")
    if parameter.get("overridden"):
        words.append("overridden")
    return "; ".join(words)
