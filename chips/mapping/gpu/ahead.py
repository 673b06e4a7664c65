"""Which regions a run will meet, without simulating it: what the L2 holds follows from the order of operators."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

from dieshot.chips.mapping.gpu.residency import L2Contents
from dieshot.simulator.engine.machine import BlockLike, StepLike
from dieshot.traces.operator import Operator

RegionStart = tuple[Operator, int]


def region_starts(
    stages: Sequence[Sequence[StepLike]], capacity_bytes: int, skipped_bytes: Callable[[Operator], int] = lambda _: 0
) -> Iterator[RegionStart]:
    """Yield the operators of all stages, each with the input bytes that an L2 of `capacity_bytes` holds at its start.

    Repeats of a block are left out once the contents at its start recur: they bring nothing new. skipped_bytes: of an
    operator's weights that are not stored.
    """
    for steps in stages:
        contents = L2Contents()
        for step in steps:
            for block in step.blocks:
                contents = yield from _block(block, contents, capacity_bytes, skipped_bytes)


def _block(
    block: BlockLike, contents: L2Contents, capacity_bytes: int, skipped_bytes: Callable[[Operator], int]
) -> Generator[RegionStart, None, L2Contents]:
    seen: list[L2Contents] = []
    while len(seen) < block.repeat and contents not in seen:
        seen.append(contents)
        for operator in block.operators:
            yield operator, contents.resident_bytes(operator)
            contents = contents.after(operator, capacity_bytes, skipped_bytes(operator))
    if len(seen) == block.repeat:
        return contents
    first = seen.index(contents)
    return seen[first + (block.repeat - first) % (len(seen) - first)]
