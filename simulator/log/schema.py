"""What a result file holds: every table, column, type, unit and meaning, as data.

A file is HDF5 with the root attributes `schema`, `schema_version`, `complete`, `duration_fs` and, where several stages
share a chip, `part`. Tables are groups with one dataset per column; row i of every column belongs together. Every
dataset has the attributes `units` and `long_name`. Text is UTF-8 of fixed length, filled with zeros. The datasets
`summary` and, of a run that was compared with another, `difference` hold JSON. All that may differ between two runs of
the same inputs is in the group `wall_clock`.

Version 1 is readable for ever: columns may be added, none may change its meaning or go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SCHEMA_NAME = "dieshot-run"
WHOLE_CHIP = "chip"  # what paths begin with, unless the root attribute `part` names another
SCHEMA_VERSION = 1

TEXT = "text"
NO_UNIT = "1"

# A longer text in a table column would be a document, not a name.
LONGEST_TEXT_BYTES = 2**16

COMPONENT_AXIS = "component"
STATE_AXIS = "state"


@dataclass(frozen=True, slots=True)
class Column:
    """A dataset: numpy type (or `text`), unit, meaning, and the axes that follow the row."""

    dtype: str
    units: str
    long_name: str
    axes: tuple[str, ...] = ()


COMPONENTS = {
    "path": Column(TEXT, NO_UNIT, "path of the component below its chip"),
    "kind": Column(TEXT, NO_UNIT, "kind of part"),
    "clock_period_fs": Column("int64", "fs", "period of the component's clock"),
    "amount_unit": Column(TEXT, NO_UNIT, "what the component's work is counted in"),
    "peak_amount_per_cycle": Column("int64", "amount/cycle", "most work in one cycle"),
    "static_fj_per_cycle": Column("int64", "fJ/cycle", "energy per cycle without work, of one part"),
    "count": Column("int64", NO_UNIT, "number of parts that act alike and share this line"),
}

STAGES = {
    "stage": Column("int64", NO_UNIT, "pipeline stage"),
    "first_chip": Column("int64", NO_UNIT, "number of the stage's first chip"),
    "n_chips": Column("int64", NO_UNIT, "number of chips in the stage, which all do the same"),
}

CELLS = {
    "name": Column(TEXT, NO_UNIT, "name of the region"),
    "kind": Column(TEXT, NO_UNIT, "kind of region"),
    "key": Column(TEXT, NO_UNIT, "SHA-256 of everything that changes the outcome"),
    "duration_fs": Column("int64", "fs", "time from start to quiescence"),
    "first_interval": Column("int64", NO_UNIT, "first row of the cell in cells/activity"),
    "n_intervals": Column("int64", NO_UNIT, "number of rows of the cell in cells/activity"),
    "counters": Column(TEXT, NO_UNIT, "integer totals of the region, as JSON"),
    "fj_per_amount": Column(TEXT, NO_UNIT, "energy of a unit of work (fJ) by kind of part, as JSON"),
}

ACTIVITY = {
    "component": Column("int32", NO_UNIT, "row of the component in components"),
    "start_fs": Column("int64", "fs", "start of the first repetition, since the cell began"),
    "end_fs": Column("int64", "fs", "end of the first repetition, since the cell began"),
    "state": Column("int8", NO_UNIT, "what the component did or waited for; see attribute states"),
    "amount": Column("int64", "amount", "work done in one repetition, in the component's unit"),
    "repeat": Column("int64", NO_UNIT, "number of repetitions"),
    "period_fs": Column("int64", "fs", "time from one repetition to the next"),
}

TOTALS = {
    "cycles": Column("int64", "cycle", "cycles of a cell by component and state", (COMPONENT_AXIS, STATE_AXIS)),
    "amount": Column("int64", "amount", "work done in a cell by component", (COMPONENT_AXIS,)),
    "dynamic_energy_fj": Column("int64", "fJ", "energy of the work done in a cell by component", (COMPONENT_AXIS,)),
    "n_intervals": Column("int32", NO_UNIT, "rows of a cell in cells/activity by component", (COMPONENT_AXIS,)),
}

PLACEMENTS = {
    "cell": Column("int32", NO_UNIT, "row of the cell in cells"),
    "start_fs": Column("int64", "fs", "start of the first copy, since the run began"),
    "repeat": Column("int64", NO_UNIT, "number of copies"),
    "stride_fs": Column("int64", "fs", "time from one copy to the next"),
    "stage": Column("int32", NO_UNIT, "stage whose chips all do this"),
    "operator": Column("int64", NO_UNIT, "row of the operator in operators, -1 for none"),
}

PARAMETERS = {
    "path": Column(TEXT, NO_UNIT, "path of the parameter in its document"),
    "value": Column(TEXT, NO_UNIT, "value in the base unit, as JSON"),
    "unit": Column(TEXT, NO_UNIT, "base unit"),
    "written": Column(TEXT, NO_UNIT, "value and unit as the document has them"),
    "kind": Column(TEXT, NO_UNIT, "published, measured, derived, fitted or assumed"),
    "source": Column(TEXT, NO_UNIT, "where the value comes from"),
    "source_title": Column(TEXT, NO_UNIT, "title of the source"),
    "at": Column(TEXT, NO_UNIT, "place in the source"),
    "why": Column(TEXT, NO_UNIT, "reason of an assumption"),
    "range": Column(TEXT, NO_UNIT, "low and high of an assumption, as JSON"),
    "formula": Column(TEXT, NO_UNIT, "expression of a derived value"),
    "inputs": Column(TEXT, NO_UNIT, "paths that the formula reads, as JSON"),
    "data": Column(TEXT, NO_UNIT, "what a fitted value was fitted to"),
    "residual": Column(TEXT, NO_UNIT, "what the fit left"),
    "note": Column(TEXT, NO_UNIT, "remark"),
    "overridden": Column("int8", NO_UNIT, "1 where the value was changed from outside the document"),
}

# The study decides which of these it gives, and may give more.
OPERATORS = {
    "step": Column("int64", NO_UNIT, "forward pass"),
    "phase": Column(TEXT, NO_UNIT, "prefill or decode"),
    "name": Column(TEXT, NO_UNIT, "name of the operator"),
    "kind": Column(TEXT, NO_UNIT, "kind of operator"),
    "dims": Column(TEXT, NO_UNIT, "dimensions of the operator, as JSON"),
    "dtype": Column(TEXT, NO_UNIT, "number format"),
    "macs": Column("int64", "MAC", "multiply-accumulates of the operator"),
    "cell": Column("int64", NO_UNIT, "row of the cell in cells, -1 for none"),
    "start_fs": Column("int64", "fs", "start of the first copy, since the run began"),
    "duration_fs": Column("int64", "fs", "duration of one copy"),
    "repeat": Column("int64", NO_UNIT, "number of copies"),
}

TABLES: dict[str, Mapping[str, Column]] = {
    "components": COMPONENTS,
    "stages": STAGES,
    "cells": CELLS,
    "cells/activity": ACTIVITY,
    "cells/totals": TOTALS,
    "placements": PLACEMENTS,
    "operators": OPERATORS,
    "parameters": PARAMETERS,
}
OPEN_TABLES = frozenset({"operators"})

_UNIT_OF_ENDING = {
    "bytes_per_s": "byte/s",
    "fj_per_cycle": "fJ/cycle",
    "bytes": "byte",
    "cycles": "cycle",
    "fs": "fs",
    "fj": "fJ",
    "macs": "MAC",
    "flops": "flop",
    "hz": "Hz",
    "s": "s",
    "j": "J",
    "w": "W",
}


def named_column(name: str, dtype: str) -> Column:
    """Return the column of a name that the schema does not list: its unit follows from the end of the name."""
    unit = next((u for ending, u in _UNIT_OF_ENDING.items() if f"_{name}".endswith(f"_{ending}")), NO_UNIT)
    return Column(dtype, unit, name.replace("_", " "))
