"""One collective on a system whose chips are linked to each other: as wired, as in a run, and refused in one line."""

from pathlib import Path

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.collective import collective
from dieshot.simulator.studies.setup import set_up

LEAF = "{value: %d, unit: '1', kind: assumed, range: [1, 99], source: estimate, why: a test}"


@pytest.fixture
def system(tmp_path: Path) -> str:
    """Eight GPUs, each linked to its neighbours as TPUs of the fifth generation are."""
    file = tmp_path / "grid.yaml"
    file.write_text(f"extends: h100-sxm\nname: grid\nfabric: ici-v5e\nn_chips: {LEAF % 8}\n"
                    "partition: {tensor_parallel: 8, pipeline_parallel: 1}\n")  # fmt: skip
    return str(file)


def test_a_run_takes_the_links_as_wired(system: str) -> None:
    record = collective(system, "all-reduce", "64MiB")
    assert (record["topology"], record["algorithm"], record["chips"]) == ("mesh:2x4", "cycle", 8)
    assert record["model"].startswith("as in a run: launch, neighbours ready, links and adding; not held against")
    assert [each["to"] for each in record["links"]] == ["x+", "x-", "y+", "y-"]
    bytes_on_links = sum(each["bytes"] for each in record["links"])
    assert bytes_on_links == pytest.approx(2 * 7 * (64 << 20), rel=1e-4)
    assert record["link_energy_j"] == pytest.approx(bytes_on_links * 8 * 5e-12)
    ideal = collective(system, "all-reduce", "64MiB", "ideal")
    assert ideal["topology"] == "mesh:2x4"
    assert 1 < ideal["time_s"] / record["time_s"] < 1.2  # the best of other schedules, a double ring


def test_a_part_of_the_system_and_a_clique(system: str) -> None:
    four = collective(system, "all-gather", "1MiB", n_chips=4)
    assert four["topology"] == "mesh:2x2"
    text = Path(system).read_text()
    Path(system).write_text(text.replace("ici-v5e", "ici-8i"))
    run, ideal = (collective(system, "all-reduce", "1MiB", algorithm) for algorithm in (None, "ideal"))
    assert run["topology"] == ideal["topology"] == "full:8"
    assert run["algorithm"] == ideal["algorithm"] == "direct"
    assert run["time_s"] == pytest.approx(ideal["time_s"], rel=0.01)
    assert [each["to"] for each in run["links"]] == [f"peer{i}" for i in range(1, 8)]


def test_stages_are_boxes_of_the_grid(system: str) -> None:
    fabric = set_up(system).placed(4, 1).fabric
    assert fabric is not None
    assert [each.path for each in fabric.components()] == ["link/x+", "link/x-", "link/y+", "link/y-"]


def test_what_is_no_box_is_refused_in_one_line(system: str) -> None:
    with pytest.raises(InputError) as refused:
        collective(system, "all-reduce", "1MiB", n_chips=7)
    assert str(refused.value) == "--chips: no box of ici-v5e; expected a box in 2x4; got 7"
    with pytest.raises(InputError) as refused:
        set_up(system, ["fabric.shape=ten"]).placed(8, 1)
    assert str(refused.value) == (
        "shape: the links ici-v5e cannot be joined so; expected the largest grid, such as 16x16 or 4x4x8; got 'ten'"
    )
