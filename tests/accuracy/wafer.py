"""Compare wafers with what was measured on them: `python tests/accuracy/wafer.py` prints the tables, in two minutes.

One assumed parameter, what it costs to activate a task, was fitted to one of the points (CS-2); the others are
predictions. The second table moves every assumed parameter that decides the speed over its range.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dieshot.chips.mapping.wafer.lower import ANYWHERE
from dieshot.chips.parts.wafer.sample import SAMPLES
from dieshot.chips.wafer import Wafer
from dieshot.simulator.engine.cell import BUSY, STATES
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.trace import trace
from dieshot.traces import Operator


@dataclass(frozen=True)
class Point:
    """A measured speed of one user without speculation, in token/s."""

    system: str
    model: str
    stages: int
    measured: float
    source: str
    use: str


POINTS = (
    Point("cs2", "llama-3-8b", 4, 2700, "waferllm", "fitted"),
    Point("cs3", "llama-3.1-8b", 32, 1800, "cbinf", "predicted"),
    Point("cs3-x4", "llama-3-70b", 80, 450, "cbinf", "predicted"),
)
# Ends of the ranges in configs/chips/wse-2.yaml and wse-3.yaml; words where a program could be written otherwise.
VARIANTS = (
    ("task activation, cycles", ("chip.software.task_activation={} cycle", ("10", "20"))),
    ("vector start, cycles", ("chip.software.vector_start={} cycle", ("5", "10"))),
    ("transcendental passes", ("chip.software.transcendental_passes={}", ("6", "40"))),
    ("clock, GHz", ("chip.clock={} GHz", ("0.85", "1.4"))),
    ("router buffer, wavelets", ("chip.router.buffer={}", ("2", "8"))),
    ("projections", ("chip.software.projections={}", ("separate", "merged"))),
    ("root of sums", ("chip.software.root={}", ("end", "middle"))),
    ("reduction", ("chip.software.reduction={}", ("two_level", "chain"))),
)
MORE_COLOURS = "chip.router.colours=48"  # sums toward the middle of a line take more than there are


def speed(point: Point, sets: tuple[str, ...] = ()) -> float:
    """Return the simulated speed of one user in token/s: a prompt of 1,024 tokens, 16 generated."""
    done = run(point.system, point.model, prompt=1024, generate=16, precision="fp16", sets=sets)
    return float(done.summary["tokens_per_s_user"])


def layer_shares(point: Point) -> Iterator[tuple[str, float]]:
    """Yield what the PEs of a region do while a token is in it, by state, as shares of the time."""
    setup = set_up(point.system)
    chip = setup.chip.divided(-(-point.stages // setup.system.values.n_chips))
    assert isinstance(chip, Wafer)
    steps = trace(point.model, prompt=1024, generate=2, precision="fp16").steps
    layer: tuple[Operator, ...] = steps[-1].blocks[1].operators
    start = chip.lowering.placement.layers, ANYWHERE
    state = chip.carry_out_all(layer, chip.initial_state)[-1].state
    assert state.region == start[0]
    cells = [outcome.cells[0] for outcome in chip.carry_out_all(layer, state)]
    whole = sum(cell.duration_fs for cell in cells) * SAMPLES
    spent = np.zeros(len(STATES))
    for cell in cells:
        pes = cell.activity.of_components(0, SAMPLES)
        for code in range(BUSY, len(STATES)):
            chosen = pes.state == code
            spent[code] += float(((pes.end_fs - pes.start_fs) * pes.repeat)[chosen].sum())
    for code in np.argsort(-spent):
        if spent[code]:
            yield STATES[code], float(spent[code]) / whole


def main(points: tuple[Point, ...]) -> None:
    """Print both tables."""
    print("| system | model | simulated | measured | difference | | PEs while a token is in their region |")
    print("|---|---|---|---|---|---|---|")
    for point in points:
        simulated = speed(point)
        shares = ", ".join(f"{state} {100 * share:.0f} %" for state, share in layer_shares(point))
        difference = f"{100 * (simulated / point.measured - 1):+.0f} %"
        cells = (
            point.system,
            point.model,
            f"{simulated:,.0f}",
            f"{point.measured:,.0f}",
            difference,
            point.use,
            shares,
        )
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\n| token/s | {' | '.join(point.system for point in points)} |\n|---|{'---|' * len(points)}")
    for name, (setting, values) in VARIANTS:
        moved = []
        for point in points:
            more = (MORE_COLOURS,) if "middle" in values else ()
            speeds = [speed(point, (setting.format(value), *more)) for value in values]
            moved.append(" to ".join(f"{each:,.0f}" for each in speeds))
        print(f"| {name}, {' to '.join(values)} | {' | '.join(moved)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("systems", nargs="*", help="only these systems")
    wanted = parser.parse_args().systems
    main(tuple(point for point in POINTS if not wanted or point.system in wanted))
