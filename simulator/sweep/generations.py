"""A search in a store: generations of points, each carried out before the next is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.store.question import ask
from dieshot.simulator.store.store import Store
from dieshot.simulator.sweep.axis import Setting
from dieshot.simulator.sweep.carrying import Carrier
from dieshot.simulator.sweep.document import SweepDocument
from dieshot.simulator.sweep.search import Search
from dieshot.simulator.sweep.space import Listing, Space

Row = Mapping[str, Any]


def carry_out_search(document: SweepDocument, search: Search, carrier: Carrier) -> tuple[int, Space, int]:
    """Carry out a search as far as it goes; return its number, its points so far, and how many runs were there.

    A search that goes on asks the same questions again and is told what the store has.
    """
    settings: list[tuple[Setting, ...]] = []
    rows: dict[int, Row] = {}
    number = -1
    n_before = 0
    while (generation := search.ask()) is not None:
        first = len(settings)
        settings += [generation.settings(index) for index in range(generation.n_points)]
        keys = list(generation.keys())
        if number < 0:
            number = carrier.store.add_sweep(document.name, document.text, keys)
            n_before = carrier.store.counts(number).final
            rows |= _kept(carrier.store, number)
        elif carrier.store.n_points(number) <= first:
            carrier.store.add_points(number, keys)
        if carrier.store.n_points(number) == len(settings):  # else the store has later ones, so these have ended
            carrier.carry_out(number, Listing(search.axes, settings), rows.__setitem__, search.n_points)
            if carrier.stop.number is not None and carrier.store.counts(number).open:
                break
        points = range(first, len(settings))
        if any(point not in rows for point in points):  # of a run that another point has, too
            rows |= _kept(carrier.store, number)
        _check(document, rows, dict(zip(points, keys, strict=True)))
        search.tell([rows.get(point) for point in points])
    return number, Listing(search.axes, settings), n_before


def _kept(store: Store, number: int) -> dict[int, Row]:
    """Return the rows of a sweep that have ended, by point."""
    return {row["point"]: row for row in ask(store.folder, sweep=number).to_pylist()}


def _check(document: SweepDocument, rows: Mapping[int, Row], keys: Mapping[int, bytes]) -> None:
    """Raise InputError where the store's points are not those that were asked for; rows from now have no key."""
    for point, key in keys.items():
        found = rows.get(point, {}).get("key")
        if found is not None and found != key.hex():
            problem = f"trial {point} of the search in the store was another one (by another version of optuna, or a "
            problem += "run before it has been tried again since)"
            document.refuse(InputError(problem, expected="another store"), "")
