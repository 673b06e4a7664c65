"""Grids of chips: the box that a system or a group takes, which axes close, rings through the whole grid."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.chips.parts.links.grid import Grid, grid_of
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LinkParameters, find_document, resolve


def link(name: str) -> LinkParameters:
    return resolve(find_document("links", name), LinkParameters).values


@pytest.mark.parametrize(
    ("name", "n_chips", "topology"),
    [
        ("ici-v5e", 4, "2x2"),
        ("ici-v5e", 8, "2x4"),
        ("ici-v6e", 128, "8x16 (y closed)"),
        ("ici-v5e", 256, "16x16 (xy closed)"),
        ("ici-v5p", 8, "2x2x2"),
        ("ici-v7", 64, "4x4x4 (xyz closed)"),
        ("neuronlink-v2", 12, "12 (x closed)"),
        ("neuronlink-v2", 6, "6"),
        ("neuronlink-v2-torus", 16, "4x4 (xy closed)"),
        ("neuronlink-v3", 16, "4x4 (xy closed)"),
    ],
)
def test_a_system_takes_the_most_compact_box_and_closes_whole_axes(name: str, n_chips: int, topology: str) -> None:
    assert grid_of(link(name), n_chips).topology == topology


@pytest.mark.parametrize(
    ("n_chips", "part"),
    [(1, "1x1"), (2, "1x2"), (3, "1x3"), (4, "2x2"), (8, "2x4 (y closed)"), (12, "3x4 (y closed)"), (5, None)],
)
def test_part_of_a_torus_closes_only_along_whole_axes(n_chips: int, part: str | None) -> None:
    found = Grid((4, 4), (True, True)).part(n_chips)
    assert (found.topology if found else None) == part


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.booleans())
def test_a_cycle_passes_every_chip_once_over_links(sides: list[int], close: bool) -> None:
    grid = Grid(tuple(sides), tuple(close and side > 2 for side in sides))
    n, several = math.prod(sides), sum(side > 1 for side in sides) > 1
    found = grid.cycle()
    assert (found is not None) == (several and n % 2 == 0)
    if found is not None:
        assert sorted(found) == list(range(n))
        assert all(pair in grid.lanes for pair in zip(found, found[1:] + found[:1], strict=True))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.booleans())
def test_every_link_goes_both_ways_and_every_chip_has_one_a_lane(sides: list[int], close: bool) -> None:
    grid = Grid(tuple(sides), tuple(close and side > 2 for side in sides))
    for (a, b), lane in grid.lanes.items():
        assert grid.lanes[b, a] == lane ^ 1
    assert len({(a, lane) for (a, _), lane in grid.lanes.items()}) == len(grid.lanes)
    n = math.prod(sides)
    ends = [n // side * (side - 1 + closed) for side, closed in zip(sides, grid.closed, strict=True)]
    assert len(grid.lanes) == 2 * sum(ends)


def refusal(n_chips: int, **changes: object) -> str:
    with pytest.raises(InputError) as refused:
        grid_of(replace(link("ici-v5e"), **changes), n_chips)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_cannot_be_a_grid_is_refused() -> None:
    said = "the links ici-v5e cannot be joined so; expected"
    assert refusal(512) == f"n_chips: {said} at most 256 chips; got 512"
    assert refusal(17) == f"n_chips: {said} as many as a box in 16x16 holds; got 17"
    assert refusal(8, shape="16by16") == f"shape: {said} the largest grid, such as 16x16 or 4x4x8; got '16by16'"
    assert refusal(8, shape=None) == f"shape: {said} the largest grid, such as 16x16 or 4x4x8; got None"
    assert refusal(8, n_links=6).startswith(f"n_links: {said} a multiple of 4: links both ways")
    assert refusal(8, wrap_side=2) == f"wrap_side: {said} chips of an axis that closes, at least 3; got 2"
    assert refusal(8, topology="ring").startswith(f"shape: {said} one side of at least 1 for a ring")
    assert grid_of(replace(link("ici-v5e"), topology="mesh", wrap_side=None), 256).topology == "16x16"
