"""What assumptions move a step of a systolic chip, and how far: `python tests/accuracy/systolic_ranges.py SYSTEM MODEL
PRECISION BATCH TOKENS decode|prefill` sets every assumed parameter of chip and links to both ends of its range, one
at a time, and prints the change of the step's time, largest first."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.setup import set_up

if __name__ == "__main__":
    from systolic import step_fs
else:
    from accuracy.systolic import step_fs

MOVES_PERCENT = 0.5


def ends(system: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the assumed numbers of a system with a range: path and the settings of both ends."""
    for document, resolved in set_up(system).resolved.items():
        for record in resolved.records:
            costs_time = not record.path.startswith(("energy", "power"))
            if record.kind == "assumed" and record.range is not None and costs_time:
                unit = "" if record.unit == "1" else record.unit
                whole = isinstance(record.value, int)
                low, high = (f"{document}.{record.path}={round(end) if whole else end}{unit}" for end in record.range)
                yield f"{document}.{record.path}", (low, high)


def changes(
    system: str, model: str, precision: str, batch: int, tokens: int, decode: bool
) -> list[tuple[str, list[float | None]]]:
    """Return the relative change at both ends of each parameter that matters; None where it cannot be set."""
    base = step_fs(system, model, precision, batch, tokens, decode)
    found: list[tuple[str, list[float | None]]] = []
    for path, settings in ends(system):
        moved: list[float | None] = []
        for setting in settings:
            try:
                moved.append(100 * (step_fs(system, model, precision, batch, tokens, decode, (setting,)) / base - 1))
            except InputError:
                moved.append(None)
        if any(change is not None and abs(change) >= MOVES_PERCENT for change in moved):
            found.append((path, moved))
    return sorted(found, key=lambda entry: -max(abs(change or 0) for change in entry[1]))


if __name__ == "__main__":
    name, network, numbers, sequences, length, phase = sys.argv[1:]
    for path, moved in changes(name, network, numbers, int(sequences), int(length), phase == "decode"):
        print(f"{path:45}", *("cannot be" if change is None else f"{change:+8.1f} %" for change in moved))
