"""Compare a model in ROM with what its maker says: `python tests/accuracy/model_rom.py` prints the tables in a minute.

Nothing was fitted to these figures: lanes follow from the transistors of the die, the rest is what is usual. Then come
what it would take to meet the maker's figures, and what each assumed parameter does to the speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.sensitivity import sensitivity, span
from dieshot.simulator.studies.setup import set_up

SYSTEM, MODEL = "hc1", "llama-3.1-8b"
MIDDLE = {"prompt": 1, "cached": 1535, "generate": 3}  # the mean context of 1,024 tokens after 1,024
SPEED = "time_per_output_token_s"
MORE_TRANSISTORS = ("chip.transistors.per_lane=500",)  # so that lanes are not refused for want of them


class Claim(NamedTuple):
    """A published figure, low and high where there are several, and the context that it is for (demos: assumed)."""

    name: str
    context: int
    low: float
    high: float
    unit: str
    source: str


RATE = Claim("one user, 1,024 + 1,024", 1536, 16960, 16960, "token/s", "hc1_best")
CLAIMS = (
    RATE,
    Claim("one user, sustained in a demo", 500, 15000, 16000, "token/s", "thequantumdispatch.com, 2026-02"),
    Claim("one user, bursts in a demo", 50, 20000, 20000, "token/s", "thequantumdispatch.com, 2026-02"),
)
CARD_W = (200, 250)
FULL = (59, (), 33)  # a user in every block, as long as the SRAM has room
USD_PER_MTOKEN = 0.0075


@cache
def point(context: int, sets: tuple[str, ...] = (), batch: int = 1) -> dict[str, Any]:
    """Return the summary of two decode steps after so many tokens."""
    options = {"prompt": 1, "cached": context - 1, "generate": 3, "batch": batch, "sets": sets}
    return dict(run(SYSTEM, MODEL, **options).summary)


def speed(context: int, sets: Sequence[str] = ()) -> float:
    """Return the tokens per second of one user."""
    return float(point(context, tuple(sets))["tokens_per_s_user"])


def rows_for(rate: float) -> int:
    """Return how many rows of ROM a block would have to read at a time for a rate, as wide as it is."""
    return next(rows for rows in range(32, 1024) if speed(1536, (*MORE_TRANSISTORS, f"chip.rom.rows={rows}")) >= rate)


def idle_for(card_w: float) -> float:
    """Return the power without any work, in W, that would make a card with one user take so much."""
    parts = point(1536)["energy_j"]
    whole = sum(parts.values())
    average_w = float(point(1536)["average_power_w"])
    return card_w - average_w * (1 - parts["static"] / whole)


def main() -> None:
    """Print the tables."""
    print(f"{MODEL} on {SYSTEM}")
    for claim in CLAIMS:
        simulated = speed(claim.context)
        ratio = simulated / ((claim.low + claim.high) / 2)
        print(f"{claim.name:32} {claim.low:8,.0f} to {claim.high:8,.0f}  simulated {simulated:8,.0f}  x {ratio:.2f}")
    own = point(1536)
    print(f"{'card with one user':32} {CARD_W[0]} to {CARD_W[1]} W  simulated {own['average_power_w']:.0f} W")
    cost = own["cost"]["usd_per_mtoken"] if own["cost"] else float("nan")
    print(f"{'cost of a million tokens':32} {USD_PER_MTOKEN} USD  simulated {cost:.4f} USD (one user)")
    full = point(*FULL)
    print(f"33 users of 61 positions: {full['tokens_per_s_system']:,.0f} token/s, {full['average_power_w']:.0f} W")
    parameters = set_up(SYSTEM).chip_parameters.values
    rows, columns = rows_for(RATE.low), parameters.rom.columns
    print(f"lanes of a block: {parameters.rom.rows * columns:,}; for {RATE.low:,.0f} token/s {rows * columns:,}")
    print(f"idle power: {parameters.power.idle / 1000:.0f} W; for a card of {CARD_W[0]} W {idle_for(CARD_W[0]):.0f} W")
    found = sensitivity(SYSTEM, MODEL, **MIDDLE)
    for each in found["parameters"]:
        if span(each, SPEED):
            ends = ", ".join(f"{1 / each[end][SPEED]:8,.0f}" for end in ("low", "high"))
            print(
                f"{each['path']:36} {each['range'][0]:>12g} to {each['range'][1]:>12g} {each['unit']:9} {ends} token/s"
            )


if __name__ == "__main__":
    main()
