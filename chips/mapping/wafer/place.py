"""Where things lie on a wafer: a strip for the token tables, equal regions for the layers beside it."""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.chips.mapping.wafer.phase import Region
from dieshot.chips.parameters.wafer import WaferParameters
from dieshot.simulator.engine.chip import UnsupportedError


@dataclass(frozen=True)
class Placement:
    """The region of a stage's layers, that of embedding and language-model head, and the hops between the two."""

    layers: Region
    tables: Region
    hops: int


def place(p: WaferParameters, n_parts: int, table_columns: int = 0) -> Placement:
    """Divide a wafer's part without the strip of tables into equal rectangles; without a strip, tables lie with the
    layers. Of several divisions, the one with the most PEs to a region for the length of its sides is taken.
    """
    rows, columns = p.fabric.rows, p.fabric.columns - table_columns
    best: tuple[float, Region] | None = None
    for down in range(1, min(n_parts, rows) + 1):
        across = -(-n_parts // down)
        if columns // across < 1:
            continue
        high = min(rows // down, p.software.grid_rows or rows)
        wide = min(columns // across, p.software.grid_columns or columns)
        rank = high * wide / (high + wide)
        if best is None or rank > best[0]:
            best = (rank, Region("layers", high, wide))
    if best is None:
        raise UnsupportedError(f"{p.name}: {n_parts} regions on {rows} x {max(0, columns)} PEs")
    layers = best[1]
    if not table_columns:
        return Placement(layers, layers, 0)
    return Placement(layers, Region("tables", rows, table_columns), rows + p.fabric.columns)
