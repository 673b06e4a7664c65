"""Mixtures of experts under a static schedule: shapes are those of the worst routing, addresses come from the data.

A program has a slot for every expert that may be wanted, at most all. Which expert fills a slot is an address that
slices take from a stream, so its weights are not read before the router has spoken, unless all are. Every slot takes
all tokens of the piece; tokens that did not choose it have weight zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dieshot.chips.mapping.static.gemm import Product
from dieshot.chips.mapping.static.lower import Lower, Lowering, Tensor, element_bytes
from dieshot.chips.mapping.static.pointwise import across_lanes
from dieshot.chips.mapping.static.vector import Input, Rows, Step
from dieshot.traces.dtype import DTYPE_BITS
from dieshot.traces.operator import Operator


def _route(low: Lowering, operator: Operator) -> None:
    """Exponentials of the scores; the highest, as often as experts are chosen, each then taken out; narrow the rows."""
    dims, m = operator.dims, low.tokens
    scores = low.input(operator, 0, dims["experts"])
    x = low.input(operator, 1, dims["hidden"], [scores.buffer])
    g = scores.buffer.groups
    rows = (low.schedule.machine.lanes,)
    left, after = scores.buffer, list(scores.after)
    gates = low.buffer(f"{operator.name} gates", rows * dims["top_k"], m, 2, [left])
    found: list[int] = []
    for choice in range(dims["top_k"]):
        highest = low.buffer("highest scores", rows, m, 2, [left])
        maxima = [
            low.pass_(g, _inputs(Rows(left, t, m)), [Step(False, 0, None, Rows(highest, t), g)], after)
            for t in range(m)
        ]
        top, after = across_lanes(low, highest, m, maxima, [left, gates])
        to_gate = [Step(True, 0, None, Rows(gates, choice * m))]
        found.append(low.pass_(m, _inputs(Rows(top)), to_gate, after))
        rest = low.buffer("scores left", scores.buffer.lanes, m, 2, [left, top])
        taken = [
            low.pass_(g, _inputs(Rows(left, t, m), Rows(top, t, 0)), [Step(False, 0, 1, Rows(rest, t, m))], after)
            for t in range(m)
        ]
        left, after = rest, list(low.joined(taken))
    low.gates = Tensor(gates, low.joined(found))
    bytes_ = DTYPE_BITS[operator.output_dtype] // 8
    y = low.buffer(operator.name, x.buffer.lanes, m, bytes_, [x.buffer])
    copied = low.pass_(x.buffer.rows, _inputs(Rows(x.buffer)), [Step(False, 0, None, Rows(y))], x.after)
    low.tensors[operator.name] = [Tensor(y, (copied,))]


def _inputs(*rows: Rows) -> Callable[[], Sequence[Input]]:
    operands: list[Input] = list(rows)
    return lambda: operands


def n_slots(low: Lowering, operator: Operator) -> int:
    """Return the experts that the tokens of a piece may want."""
    chosen = max(1, operator.dims["M"] // low.total)
    return min(operator.dims["experts"], low.tokens * chosen)


def _grouped_gemm(low: Lowering, operator: Operator) -> None:
    """One product a slot, all tokens through each."""
    dims, m = operator.dims, low.tokens
    slots = n_slots(low, operator)
    name = next(iter(operator.inputs))
    sources = low.tensors.get(name, [])
    if not sources:
        sources = [low.input(operator, 0, dims["K"], bytes_=element_bytes(operator))]
    gated = any(each.kind == "activation" and operator.name in each.inputs for each in low.operators)
    halves = 2 if gated else 1
    address = low.gates if slots < dims["experts"] else None
    outs: list[Tensor] = []
    for slot in range(slots):
        x = sources[slot % len(sources)]
        for half in range(halves):
            avoid = [outs[-1].buffer] if half else []
            out = low.buffer(f"{operator.name} {slot} {half}", low.groups(dims["N"] // halves), m, 2, avoid)
            outs.append(Tensor(out, Product(low, operator, x, out, address).lower()))
    low.tensors[operator.name] = outs


def _combine(low: Lowering, operator: Operator) -> None:
    """Add up the slots' rows, each times its gate."""
    dims, m = operator.dims, low.tokens
    name = next(iter(operator.inputs))
    slots = low.tensors.get(name) or [low.arrived(f"{name} {i}", dims["hidden"], m) for i in range(dims["top_k"])]
    lanes = low.schedule.machine.lanes
    gates = low.gates or Tensor(low.schedule.sram.arrived(low.buffer("gates", (lanes,) * dims["top_k"], m)))
    total: Tensor | None = None
    for slot, each in enumerate(slots):
        weight = slot % dims["top_k"] * m
        y, g = each.buffer, each.buffer.groups
        avoid = [y, gates.buffer, *([total.buffer] if total else [])]
        out = low.buffer(f"{operator.name} {slot}", y.lanes, m, 2, avoid)
        before = (*each.after, *gates.after, *(total.after if total else ()))
        done = []
        for i in range(min(m, g)):
            row, stride, n = (i, m, g) if m <= g else (i * m, 1, m)
            rows = [Rows(y, row, stride), Rows(gates.buffer, weight + (i if m <= g else 0), 0 if m <= g else 1)]
            to = Rows(out, row, stride)
            steps = [Step(False, 0, 1, None if total else to)]
            if total:
                rows.append(Rows(total.buffer, row, stride))
                steps.append(Step(False, -1, 2, to))
            done.append(low.pass_(n, _inputs(*rows), steps, before))
        total = Tensor(out, low.joined(done))
    assert total is not None
    low.tensors[operator.name] = [total]


LOWER_EXPERTS: dict[str, Lower] = {"route": _route, "grouped_gemm": _grouped_gemm, "moe_combine": _combine}
