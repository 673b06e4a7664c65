"""Roofline of operators: what no machine with these peaks could undercut, however well it overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dieshot.traces import Operator


class Roofline(NamedTuple):
    """Seconds that each resource needs at its peak; the operator takes at least the largest."""

    compute: float
    memory: float
    link: float

    @property
    def seconds(self) -> float:
        """The lower bound."""
        return max(self)

    @property
    def limit(self) -> str:
        """The resource that sets it."""
        return self._fields[max(range(3), key=self.__getitem__)] if self.seconds else "latency"


def summed(bounds: Sequence[tuple[Roofline, int]]) -> tuple[float, ...]:
    """Return the seconds of each resource, and of the bounds themselves, over operators and how often each is there."""
    return tuple(
        sum((*bound, bound.seconds)[index] * times for bound, times in bounds)
        for index in range(len(Roofline._fields) + 1)
    )


@dataclass(slots=True)
class Bounds:
    """The rooflines of a run added up by stage; `overlapping` operators of a stage bound it only by each resource.

    _passes: the same of one micro-batch's way through all stages, where chunks of its prompt, which follow each other,
    count as their average.
    """

    peaks: dict[str, float]
    n_stages: int
    overlapping: bool
    _stages: list[list[float]] = field(init=False)
    _passes: list[list[float]] = field(init=False)

    def __post_init__(self) -> None:
        self._stages = [[0.0] * 4 for _ in range(self.n_stages)]
        self._passes = [[0.0] * 4 for _ in range(self.n_stages)]

    def add(self, sums: Sequence[float], stage: int, times: int, n_chunks: int = 1) -> None:
        """Count a step (`summed` over its operators) that a stage carries out `times` times, for so many chunks."""
        for index, seconds in enumerate(sums):
            self._stages[stage][index] += seconds * times
            self._passes[stage][index] += seconds * times / n_chunks

    def seconds(self, micro_batches: int) -> float:
        """Return what the run takes at least: a micro-batch goes through all stages, and a stage serves all of them."""
        stages, passes = (
            [max(sums[:3]) if self.overlapping else sums[3] for sums in each] for each in (self._stages, self._passes)
        )
        return max(sum(passes) / micro_batches, *stages)


def roofline(operator: Operator, peaks: Mapping[str, float]) -> Roofline:
    """Return the roofline of one rank's operator; only bytes that must come from memory count (weights, KV cache).

    A chip that skips the zeros of the operator's pattern ('skips:2:4' among its peaks) needs neither multiply nor read
    them.
    """
    share = operator.density if f"skips:{operator.sparsity}" in peaks else 1.0
    compute = share * operator.macs / peaks[f"mac:{operator.dtype}"] if operator.macs else 0.0
    memory = (share * operator.weight_bytes + operator.kv_read_bytes) / peaks["memory"]
    return Roofline(compute, memory, _link_seconds(operator, peaks))


def _link_seconds(operator: Operator, peaks: Mapping[str, float]) -> float:
    """Return the time at the link rate of what each chip must at least receive."""
    if "link" not in peaks:
        return 0.0
    group = operator.dims.get("group", 1)
    if operator.kind == "all_reduce":
        return operator.output_bytes / peaks["link"]
    if operator.kind == "all_gather":
        return operator.output_bytes * (group - 1) / group / peaks["link"]
    return operator.output_bytes / peaks["link"] if operator.kind == "send_recv" else 0.0
