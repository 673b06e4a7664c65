"""What is chosen ahead, in worker processes, is exactly what the run would have chosen on its way."""

from collections.abc import Hashable

import pytest

from dieshot.chips.mapping.gpu.ahead import region_starts
from dieshot.chips.mapping.gpu.library import Library
from dieshot.chips.mapping.gpu.lower import Choice, region_key
from dieshot.simulator.engine.machine import COLLECTIVES
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.split import Degrees, split
from dieshot.simulator.studies.trace import trace
from dieshot.traces import Operator


@pytest.mark.parametrize(("model", "degrees"), [("qwen3-0.6b", (4, 2)), ("qwen3-30b-a3b", (8, 1))])
def test_a_run_meets_the_regions_foreseen(
    model: str, degrees: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = set_up("dgx-h100")
    over = split(setup, trace(model, prompt=20, generate=4, routing="power_law"), Degrees(*degrees), 1)
    stages = [stage.steps for stage in over.parts.stages]
    capacity_bytes = setup.chip.timing.l2_capacity_bytes  # type: ignore[attr-defined]
    starts = [each for each in region_starts(stages, capacity_bytes) if each[0].kind not in COLLECTIVES]
    foreseen = {region_key(*start) for start in starts}
    met: set[Hashable] = set()
    choose = Library.choose

    def noted(library: Library, operator: Operator, resident_bytes: int) -> Choice:
        met.add(region_key(operator, resident_bytes))
        return choose(library, operator, resident_bytes)

    monkeypatch.setattr(Library, "choose", noted)
    over.setup.machine(degrees[0], 1).run(stages, lambda placed: None)
    assert met == foreseen


def test_the_choice_is_the_same_made_here_or_in_a_worker() -> None:
    setup = set_up("h100-sxm")
    parts = split(setup, trace("qwen3-0.6b", prompt=20, generate=2), Degrees(1, 1), 1).parts
    library: Library = setup.chip.library  # type: ignore[attr-defined]
    ahead = Library(library.timing, library.machine)
    starts = list(region_starts([parts.stages[0].steps], library.timing.l2_capacity_bytes))
    ahead.choose_ahead(starts, 2)
    for operator, resident_bytes in starts:
        here, there = library.choose(operator, resident_bytes), ahead.choose(operator, resident_bytes)
        assert [kernel.name for kernel in here] == [kernel.name for kernel in there]
