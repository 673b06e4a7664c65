"""What a stretch of operators is compiled as: pieces of as many tokens as the accumulators hold, of padded shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dieshot.chips.mapping.static.machine import StaticMachine
from dieshot.simulator.engine.machine import COLLECTIVES
from dieshot.traces.operator import Operator


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stretch that is one region: tokens, of how many sequences, of how many new tokens each, and the
    tiles of cached keys that they see."""

    tokens: int
    sequences: int
    queries: int
    key_tiles: int


def tokens_of(operator: Operator) -> int | None:
    """Return the tokens of an operator; None of a collective, which does not say."""
    dims = operator.dims
    if operator.kind == "attention":
        return dims["batch"] * dims["q_len"]
    return dims.get("M", dims.get("tokens"))


def total_tokens(machine: StaticMachine, operators: Sequence[Operator]) -> int:
    """Return the tokens of a stretch; where only collectives are in it, a vector of elements counts as one."""
    known = [tokens for tokens in map(tokens_of, operators) if tokens is not None]
    return known[0] if known else -(-operators[0].dims["elements"] // machine.lanes)


def most_tokens(machine: StaticMachine, operators: Sequence[Operator]) -> int:
    """Return the tokens that a piece can have by its accumulators; where only collectives are in it, by its slices."""
    p = machine.parameters
    alone = all(operator.kind in COLLECTIVES for operator in operators)
    return p.mem.rows // p.mem.banks if alone else p.mxm.accumulator_rows


def pieces_of(machine: StaticMachine, operators: Sequence[Operator], most: int) -> tuple[Piece, ...]:
    """Return the pieces of at most `most` tokens, one after the other, a sequence's prompt in order."""
    tokens = total_tokens(machine, operators)
    depth = most
    attention = next((operator for operator in operators if operator.kind == "attention"), None)
    if attention is None:
        full, rest = divmod(tokens, depth)
        return (Piece(depth, 0, 0, 0),) * full + ((Piece(rest, 0, 0, 0),) if rest else ())
    dims = attention.dims
    batch, queries = dims["batch"], dims["q_len"]
    if queries >= depth:
        prompt = [
            Piece(min(depth, queries - first), 1, min(depth, queries - first), 0) for first in range(0, queries, depth)
        ]
        seen, out = dims["kv_len"] - queries, []
        for each in prompt:
            seen += each.queries
            out.append(Piece(each.tokens, 1, each.queries, _key_tiles(machine, seen, each.queries, dims["window"])))
        return tuple(out) * batch
    tiles = _key_tiles(machine, dims["kv_len"], queries, dims["window"])
    at_once = depth // queries
    full, rest = divmod(batch, at_once)
    whole = Piece(at_once * queries, at_once, queries, tiles)
    return (whole,) * full + ((Piece(rest * queries, rest, queries, tiles),) if rest else ())


def _key_tiles(machine: StaticMachine, kv_len: int, queries: int, window: int) -> int:
    """Return the tiles of keys that queries see, the last one padded: shapes are static."""
    seen = min(kv_len, queries + window - 1) if window else kv_len
    return -(-seen // machine.lanes)
