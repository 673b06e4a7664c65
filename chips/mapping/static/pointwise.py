"""What the vector unit does between matrix products: norms, activations, look-ups, sampling; and exchanges."""

from __future__ import annotations

from collections.abc import Sequence

from dieshot.chips.mapping.static import exchange
from dieshot.chips.mapping.static.lower import PLANE_COST, Lower, Lowering, Tensor
from dieshot.chips.mapping.static.matrix import Tile, activate, load, resident, sums
from dieshot.chips.mapping.static.sram import Buffer
from dieshot.chips.mapping.static.transfer import link_of
from dieshot.chips.mapping.static.vector import Input, Permuted, Rows, Step, Sums, vector_pass
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.machine import COLLECTIVES
from dieshot.traces.dtype import DTYPE_BITS
from dieshot.traces.operator import Operator

EXCHANGE_COST = 2000  # cycles of an exchange beyond its vectors, for priorities only


def ones(
    low: Lowering, source: Tensor, n: int, after: Sequence[int], row: int = 0
) -> tuple[list[Sums], int, tuple[int, int]]:
    """Add a task that adds up all lanes of n rows: a tile of ones gives the sum in every lane."""
    schedule = low.schedule
    found: list[Sums] = []
    h = low.turn % 2
    low.turn += 1
    plane = schedule.machine.plane(h, 0)
    lanes = schedule.machine.lanes
    bank, emptied = low.bank(plane)

    def place() -> None:
        tile: Tile = load(schedule, resident(schedule, "ones", h, 2 * lanes, False), plane, 2)
        ready = activate(schedule, [(tile, bank)], Rows(source.buffer, row), n, "fp16")
        found.append(sums(schedule, tile, bank, n, 1, ready))

    before = [*source.after, *after, *emptied]
    if plane in low.plane_chain:
        before.append(low.plane_chain[plane])
    low.plane_chain[plane] = low.tasks.add(place, PLANE_COST, before)
    return found, low.plane_chain[plane], (plane, bank)


def _norm(low: Lowering, operator: Operator) -> None:
    """Square and add up in the vector unit, sum of lanes by a tile of ones, root, then scale: two passes."""
    dims, m = operator.dims, low.tokens
    if dims["shift"]:
        raise UnsupportedError(
            f"{low.schedule.machine.parameters.name} has no schedule for LayerNorm ({operator.name})"
        )
    hidden = dims["hidden"]
    x = low.input(operator, 0, hidden)
    lanes = low.groups(hidden)
    g = len(lanes)
    first: list[int] = []
    if dims["residual"]:
        r = low.input(operator, 1, hidden, [x.buffer])
        h = low.buffer(f"{operator.name} residual", lanes, m, 2, [x.buffer, r.buffer])
    else:
        r, h = x, x.buffer
    s = low.buffer(f"{operator.name} squares", (low.schedule.machine.lanes,), m, 2, [x.buffer, r.buffer, h])
    for t in range(m):
        to = Rows(s, t)
        if dims["residual"]:
            steps = [Step(False, 0, 1, Rows(h, t, m)), Step(False, 0, 1), Step(False, -2), Step(False, -3, None, to, g)]
            sources: list[Input] = [Rows(x.buffer, t, m), Rows(r.buffer, t, m)]
        else:
            steps = [Step(False, 0), Step(False, -1, None, to, g)]
            sources = [Rows(x.buffer, t, m)]
        first.append(low.pass_(g, lambda each=sources: each, steps, (*x.after, *r.after)))  # type: ignore[misc]
    found, summed, bank = ones(low, Tensor(s), m, first)
    root = low.buffer(f"{operator.name} root", (low.schedule.machine.lanes,), m, 2, [s, h])
    to_root = [Step(False, 0), Step(True, -1, None, Rows(root))]
    rooted = low.tasks.add(lambda: vector_pass(low.schedule, m, found, to_root), PLANE_COST + m, [summed])
    low.sum_chain[bank] = rooted
    gain = low.arrived(f"{operator.name} gain", hidden, 1, [h, root]).buffer
    bytes_ = DTYPE_BITS[operator.output_dtype] // 8
    y = low.buffer(operator.name, lanes, m, bytes_, [h, root, gain])
    last = []
    for i in range(min(m, g)):
        if m <= g:
            rows, n = [Rows(h, i, m), Rows(root, i, 0), Rows(gain, 0, 1)], g
            to = Rows(y, i, m)
        else:
            rows, n = [Rows(h, i * m), Rows(root), Rows(gain, i, 0)], m
            to = Rows(y, i * m)
        steps = [Step(False, 0, 1), Step(False, -1, 2, to)]
        last.append(low.pass_(n, lambda each=rows: each, steps, [rooted]))  # type: ignore[misc]
    low.residual = Tensor(h, low.joined(first))
    low.tensors[operator.name] = [Tensor(y, low.joined(last))]


def _activation(low: Lowering, operator: Operator) -> None:
    """SiLU of the gate times the other half; without a gate one transcendental and its multiplication."""
    dims, m = operator.dims, low.tokens
    name, n_halves = next(iter(operator.inputs)), 1 + operator.dims["gated"]
    halves = low.tensors.get(name, [])
    if not halves or len(halves) % n_halves:
        halves = [low.arrived(f"{name} {i}", dims["ffn"], m) for i in range(n_halves)]
    # experts come side by side
    each = [halves[i : i + n_halves] for i in range(0, len(halves), n_halves)]
    low.tensors[operator.name] = [_activated(low, operator, one) for one in each]


def _activated(low: Lowering, operator: Operator, halves: list[Tensor]) -> Tensor:
    dims, m, gate = operator.dims, low.tokens, halves[0]
    lanes = gate.buffer.lanes
    bytes_ = DTYPE_BITS[operator.output_dtype] // 8
    y = low.buffer(operator.name, lanes, m, bytes_, [each.buffer for each in halves])
    n = len(lanes) * m
    steps = [Step(True, 0), Step(False, -1), Step(True, -2), Step(False, -3, 1)]
    sources: list[Input] = [Rows(gate.buffer), Rows(gate.buffer)]
    if dims["gated"]:
        sources.append(Rows(halves[1].buffer))
        steps.append(Step(False, -4, 2, Rows(y)))
    else:
        steps[-1] = Step(False, -3, 1, Rows(y))
    after = [task for each in halves for task in each.after]
    return Tensor(y, (low.pass_(n, lambda: sources, steps, after),))


def _embedding(low: Lowering, operator: Operator) -> None:
    """Look up the rows that this rank holds; the others' are zero until all are added up."""
    dims, m = operator.dims, low.tokens
    local = -(-m // dims["ranks"])
    lanes = low.groups(dims["hidden"])
    y = low.schedule.sram.arrived(low.buffer(operator.name, lanes, m), len(lanes) * local)
    last = []
    for table in range(dims["tables"]):
        del table
        rows = low.arrived(f"rows of {operator.name}", dims["hidden"], local, [y])
        steps = [Step(False, 0, None, Rows(y))]
        last.append(low.pass_(len(lanes) * local, lambda each=rows: [Rows(each.buffer)], steps, ()))  # type: ignore[misc]
    low.tensors[operator.name] = [Tensor(y, tuple(last))]
    low.residual = low.tensors[operator.name][0] if low.residual is None else low.residual


def _sample(low: Lowering, operator: Operator) -> None:
    """Maximum over all logits, exponentials and their sum, for every token."""
    m = low.tokens
    x = low.input(operator, 0, operator.dims["vocab"])
    g = x.buffer.groups
    highest = low.buffer("highest logits", (low.schedule.machine.lanes,), m, 2, [x.buffer])
    after = [
        low.pass_(g, lambda t=t: [Rows(x.buffer, t, m)], [Step(False, 0, None, Rows(highest, t), g)], x.after)  # type: ignore[misc]
        for t in range(m)
    ]
    top, after = across_lanes(low, highest, m, after, [x.buffer])
    total = low.buffer("sum of exponentials", (low.schedule.machine.lanes,), m, 2, [x.buffer, top])
    last = [
        low.pass_(
            g,
            lambda t=t: [Rows(x.buffer, t, m), Rows(top, t, 0)],  # type: ignore[misc]
            [Step(False, 0, 1), Step(True, -1), Step(False, -2, None, Rows(total, t), g)],
            after,
        )
        for t in range(m)
    ]
    low.tensors[operator.name] = [Tensor(total, tuple(last))]


def across_lanes(
    low: Lowering, buffer: Buffer, n: int, after: Sequence[int], avoid: Sequence[Buffer]
) -> tuple[Buffer, list[int]]:
    """Add the tasks of a maximum over all lanes: trips to the permutation units, each brings shifted copies."""
    units = low.schedule.machine.parameters.sxm.units
    before = list(after)
    for trip in range(low.schedule.machine.permute_trips):
        target = low.buffer(f"{buffer.name} {trip}", buffer.lanes, n, 2, [buffer, *avoid])
        source = buffer
        inputs: list[Input] = [Permuted(Rows(source), unit, unit > 0) for unit in range(units)]
        steps = exchange.tree(units + 1, Rows(target))
        sources = [*inputs, Rows(source)]
        before = [low.pass_(n, lambda each=sources: each, steps, before)]  # type: ignore[misc]
        buffer = target
    return buffer, before


def _collective(low: Lowering, operator: Operator) -> None:
    """Exchange what the producer left with the other ranks, or with the next stage."""
    dims, m = operator.dims, low.tokens
    elements = dims["elements"] * m // low.total if low.total else dims["elements"]
    group = dims.get("group", 1)
    width = elements // m if operator.kind != "all_gather" else -(-elements // m // group)
    x = low.input(operator, 0, max(1, min(width, elements)))
    schedule = low.schedule
    timing = link_of(schedule)
    if operator.kind != "send_recv" and timing.group != group:
        raise UnsupportedError(f"{operator.name} joins {group} ranks, the stage has {timing.group}")
    cost = EXCHANGE_COST + 3 * x.buffer.rows
    if operator.kind == "send_recv":
        sent = low.tasks.add(lambda: exchange.hand_on(schedule, x.buffer), cost, x.after)
        low.tensors[operator.name] = [Tensor(x.buffer, (sent,))]
        return
    if operator.kind == "all_reduce":
        out = exchange.reduced(schedule, x.buffer)
        done = low.tasks.add(lambda: exchange.all_reduce(schedule, x.buffer, out), cost, x.after)
    else:
        out = exchange.gathered(schedule, x.buffer)
        done = low.tasks.add(lambda: exchange.all_gather(schedule, x.buffer, out), cost, x.after)
    low.tensors[operator.name] = [Tensor(out, (done,))]


LOWER_POINTWISE: dict[str, Lower] = {
    "norm": _norm,
    "activation": _activation,
    "embedding": _embedding,
    "sample": _sample,
    **dict.fromkeys(COLLECTIVES, _collective),
}
