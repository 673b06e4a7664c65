"""How an opened figure is printed, whichever command opened it."""

from collections.abc import Mapping
from typing import Any

from dieshot.simulator.cli import quantity
from dieshot.simulator.cli.sensitivity import print_moves
from dieshot.simulator.cli.table import columns, console, grid


def print_explanation(found: Mapping[str, Any]) -> None:
    """Print the run, its stalls, operators and energy, and how far its assumed parameters move it."""
    out = console()
    out.print(f"run: {found['command']}", markup=False, soft_wrap=True)
    if found["refused"] is not None:
        out.print(f"refused: {found['refused']}", markup=False)
        return
    figures = {key: found[key] for key in ("tokens_per_s_user", "tokens_per_s_system", "average_power_w")}
    out.print(grid((quantity.label(key), quantity.text(key, value)) for key, value in figures.items()))
    bounds = found["bounds"]
    out.print(
        f"the run takes {quantity.si(found['total_time_s'], 's')}; no machine with these peaks less than "
        f"{quantity.si(bounds['roofline_s'], 's')}",
        markup=False,
    )
    shares = sorted(found["stalls"].items(), key=lambda item: -item[1])
    rows = [(state.removeprefix("stall_"), quantity.percent(share)) for state, share in shares]
    out.print(columns("what the main parts of the chip waited for", {"for": "left", "of their cycles": "right"}, rows))
    out.print(columns("operators that take the longest", {"phase": "left", "operator": "left", "time": "right",
                      "share": "right"}, map(_operator_row, found["operators"])))  # fmt: skip
    whole = sum(found["energy_j"].values())
    energies = sorted(found["energy_j"].items(), key=lambda item: -item[1])
    rows = [(kind, quantity.percent(joules / whole)) for kind, joules in energies if joules]
    out.print(columns("energy", {"of": "left", "share": "right"}, rows))
    n_assumed = len(found["parameters"]) + len(found["assumed_without_range"])
    out.print(f"{n_assumed} of the {found['parameters_read']} parameters that the run read are assumed", markup=False)
    print_moves(found)


def _operator_row(operator: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        operator["phase"],
        operator["name"],
        quantity.si(operator["time_s"], "s"),
        quantity.percent(operator["share"]),
    )
