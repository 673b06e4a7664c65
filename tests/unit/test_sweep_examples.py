"""The sweeps of the catalog: each can be read, and its first and last runs show what it is there to show."""

import pytest

from dieshot.simulator.params import list_names
from dieshot.simulator.sweep.document import read_sweep
from dieshot.simulator.sweep.outcome import carry_out
from dieshot.simulator.sweep.points import space_of
from dieshot.simulator.sweep.row import FIGURES

MOST_RUNS = 30


@pytest.mark.parametrize("name", list_names("sweeps"))
def test_it_can_be_read_drawn_and_ranked(name: str) -> None:
    document = read_sweep(name)
    space = space_of(document)
    assert document.name == name and document.note
    assert 10 <= len(space) <= MOST_RUNS
    assert len(set(space.keys())) == len(space)
    assert document.objectives and document.plot is not None
    assert document.plot.x in space.varied and document.plot.by in space.varied
    assert document.plot.y in FIGURES


def test_there_are_the_four_that_the_documentation_shows() -> None:
    assert {"batch-energy", "hbm-bandwidth", "photonic-fabric", "sram-size"} <= set(list_names("sweeps"))


def test_more_users_share_the_energy_of_the_weights() -> None:
    space = space_of(read_sweep("batch-energy"))
    points = [index for index in range(len(space)) if space.values(index)["system"] == "sohu-1"]
    found = [carry_out(space.request(index)).figures for index in (points[0], points[-1])]
    one, many = [row["energy_per_token_j"] for row in found if row]
    assert isinstance(one, float) and isinstance(many, float)
    assert one / 256 < many < one / 16  # the weights' part shrinks with the batch, the cache's does not
