"""What sets the time of a stretch of work: a part's own work, or what the main parts of the chip waited for.

The same rule for a moment, an operator or a run, so that all of them speak of the same things: a kind of part, or a
reason of waiting during which no part worked ("stall_operand"), by the name of the resource where one has it ("HBM").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dieshot.simulator.engine.cell import BUSY, IDLE, STALL_MEMORY, STALL_OPERAND, STATES, ComponentSpec
from dieshot.simulator.engine.chip import Resource
from dieshot.simulator.studies.account import Done, burning_kinds

LINK = "link"
BYTE = "byte"
HOST = "host"
# Resources that no architecture names for itself: what joins the chips, and the computer that drives them.
COMMON = {
    "links": Resource(("link", "stall_link"), ("fabric.rate=*{}", "fabric.hop_latency=/{}")),
    HOST: Resource((HOST,), ("system.host.step_gap=/{}",)),
}


class Kinds(NamedTuple):
    """The kinds of parts of a chip that can work, and their peaks.

    main: the kind whose time is asked after. others: the rest, of which `carriers` move data; link parts are not among
    these: waiting for them has a name of its own. peak_per_fs: most work of all parts of a kind together. names: of the
    resource that a kind or a reason of waiting belongs to.
    """

    main: str
    others: tuple[str, ...]
    carriers: frozenset[str]
    peak_per_fs: Mapping[str, float]
    names: Mapping[str, str]

    def candidates(self, state: int) -> Sequence[str]:
        """Return the kinds that the main parts may be waiting for in a state; none where the state says it itself."""
        if state in (IDLE, STALL_OPERAND):
            return self.others
        return [kind for kind in self.others if kind in self.carriers] if state == STALL_MEMORY else ()


def kinds_of(specs: Sequence[ComponentSpec], main_kind: str, resources: Mapping[str, Resource]) -> Kinds:
    """Return the kinds of a chip's parts; the first stands in for a main kind that it does not have.

    resources: the architecture's; what it names is its, and the rest of what all have is `COMMON`.
    """
    peaks: dict[str, float] = {}
    for spec in specs:
        peaks[spec.kind] = peaks.get(spec.kind, 0.0) + spec.peak_amount_per_cycle / spec.clock_period_fs
    burning = burning_kinds(specs)
    names = [kind for kind in peaks if kind not in burning]
    main = main_kind if main_kind in names else names[0]
    carriers = {spec.kind for spec in specs if spec.amount_unit == BYTE and spec.kind != LINK}
    others = tuple(kind for kind in names if kind != main)
    named = {of: name for each in (COMMON, resources) for name, resource in each.items() for of in resource.of}
    return Kinds(main, others, frozenset(carriers), peaks, named)


def limit(kinds: Kinds, done: Done, duration_fs: int) -> str | None:
    """Return what sets the time of work that took `duration_fs`; None where it took none.

    Of the states of the main parts the longest; waiting for memory or operands, or doing nothing, is put down to the
    part that was closest to its peak meanwhile.
    """
    times = done.cycles[kinds.main]
    if not duration_fs or not sum(times):
        return None
    state = max(range(len(STATES)), key=times.__getitem__)
    utilization = {kind: done.amount[kind] / (kinds.peak_per_fs[kind] * duration_fs) for kind in _peaking(kinds)}
    working = [kinds.main] if state == BUSY else in_order(kinds.candidates(state), utilization)
    found = working[0] if working else _waiting(kinds, done, state)
    return kinds.names.get(found, found)


def in_order(kinds: Iterable[str], utilization: Mapping[str, float]) -> list[str]:
    """Return those kinds that work, the closest to its peak first; of equals the first given."""
    return sorted((kind for kind in kinds if utilization.get(kind, 0.0) > 0), key=lambda kind: -utilization[kind])


def _peaking(kinds: Kinds) -> list[str]:
    return [kind for kind in kinds.others if kinds.peak_per_fs[kind] > 0]


def _waiting(kinds: Kinds, done: Done, state: int) -> str:
    """Return the reason of waiting; where the main parts did nothing, what most of the others waited for."""
    if state != IDLE:
        return STATES[state]
    waits = [sum(done.cycles[kind][each] for kind in kinds.others) for each in range(len(STATES))]
    waits[IDLE] = 0
    return STATES[max(range(len(STATES)), key=waits.__getitem__)] if any(waits) else STATES[IDLE]
