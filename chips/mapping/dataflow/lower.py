"""From a stretch of operators to a region: token tiles, work of every stage, strips of tiles, streams."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dieshot.chips.mapping.attention_dims import AttentionDims, attention_dims
from dieshot.chips.mapping.dataflow.machine import DataflowMachine
from dieshot.chips.mapping.dataflow.stage import NO_STAGE, Region, Stage, Work
from dieshot.chips.parameters.reconfigurable_dataflow import stream_room
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.machine import COLLECTIVES
from dieshot.traces.dtype import bytes_of
from dieshot.traces.operator import Operator

MOST_TOKEN_TILES = 64  # more would only make a pipeline longer that is long already
MATRIX = frozenset({"gemm", "grouped_gemm"})


@dataclass
class Lowering:
    """Lowers stretches, and knows what may be fetched ahead of each: `follow` by the key of a stretch."""

    machine: DataflowMachine
    follow: dict[Hashable, int] = field(default_factory=dict)

    def key(self, operators: Sequence[Operator]) -> Hashable:
        """Return what tells stretches apart on a chip; the cache is read in whole tiles of keys."""
        return tuple(self._operator_key(operator) for operator in operators)

    def _operator_key(self, operator: Operator) -> Hashable:
        dims = dict(operator.dims)
        sizes = (tuple(operator.inputs.values()), operator.weight_bytes, operator.output_bytes)
        if operator.kind == "attention" and operator.dims["q_len"] == 1:
            dims["kv_len"] = self._padded_keys(operator)
        formats = (operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
        return (operator.kind, tuple(dims.items()), formats, sizes, operator.kv_write_bytes, operator.group_rows)

    def _padded_keys(self, operator: Operator) -> int:
        tile = self.machine.p.program.kv_tile
        return -(-_seen_keys(operator) // tile) * tile

    def region(self, operators: Sequence[Operator]) -> Region:
        """Return the region of a stretch."""
        n_tiles = self._token_tiles(operators)
        spilled_in, spilled_out = self._spilled(operators)
        works = [self.work(operator, n_tiles) for operator in operators]
        strips = self._allot(operators, works)
        stages: list[Stage] = []
        for index, (operator, work) in enumerate(zip(operators, works, strict=True)):
            before = next((stage.strips for stage in reversed(stages) if not stage.collective), None)
            chosen = [i for i, earlier in enumerate(operators[:index]) if earlier.kind == "route"]
            gate = chosen[-1] if operator.kind == "grouped_gemm" and chosen else NO_STAGE
            stage = self._stage(operator, work, strips[index], before, gate, n_tiles)
            if index == 0 and spilled_in:
                stage = self._reading(stage, spilled_in, n_tiles)
            if index == len(operators) - 1:
                stage = replace(stage, store=stage.store + spilled_out)
            stages.append(stage)
        kept = sum(sum(stage.tiles[: stage.n_kept]) for stage in stages)
        together = kept + 2 * self.machine.p.program.stream_tile <= stream_room(self.machine.p)
        return Region(tuple(stages), n_tiles, self.follow.get(self.key(operators), 0), together)

    def _spilled(self, operators: Sequence[Operator]) -> tuple[int, int]:
        """Return the bytes of a stretch's input and output that go through HBM: all, where the rest of the memory units
        does not hold both."""
        p = self.machine.p
        into = operators[0].input_bytes
        out = max(into, operators[-1].output_bytes)  # with the residual stream
        return (into, out) if into + out > p.pmu.count * p.pmu.capacity - stream_room(p) else (0, 0)

    def _reading(self, stage: Stage, n_bytes: int, n_tiles: int) -> Stage:
        """Return a stage that reads its input from HBM, token tile by token tile."""
        sizes = _cut(n_bytes, n_tiles)
        return replace(stage, tiles=(*stage.tiles, *sizes), at_token_tile=(*stage.at_token_tile, *range(n_tiles)))

    def _token_tiles(self, operators: Sequence[Operator]) -> int:
        tokens = max((_tokens(operator) for operator in operators), default=1)
        wanted = min(MOST_TOKEN_TILES, -(-tokens // self.machine.p.program.token_tile))
        # Where a stage's weights do not fit, all tokens meet one tile of weights after the other.
        room = stream_room(self.machine.p) - 2 * self.machine.p.program.stream_tile
        widest = max((operator.weight_bytes for operator in operators), default=0)
        return wanted if widest <= room else 1

    def work(self, operator: Operator, n_tiles: int) -> Work:
        """Return what an operator's stage does for a token tile."""
        if operator.kind in MATRIX:
            rows = operator.group_rows or (operator.dims["M"],)
            each = tuple(-(-m // n_tiles) for m in rows if m)
            k, n = operator.dims["K"], operator.dims["N"]
            # Weights in another format than the products' are converted as they come.
            converted = k * n * len(each) if operator.weight_dtype not in (None, operator.dtype) else 0
            return self._plain(operator, n_tiles, each, k, n, operator.macs, float(operator.vector_ops + converted))
        if operator.kind == "attention":
            return self._attention(operator, n_tiles)
        return self._plain(operator, n_tiles, (), 0, 0, operator.macs, float(operator.vector_ops))

    def _plain(
        self, operator: Operator, n_tiles: int, rows: tuple[int, ...], k: int, n: int, macs: int, ops: float
    ) -> Work:
        tails = operator.transcendental_ops / n_tiles
        read, written = -(-operator.input_bytes // n_tiles), -(-operator.output_bytes // n_tiles)
        return Work(rows, k, n, operator.dtype, macs, 0, ops / n_tiles, tails, read, written)

    def _attention(self, operator: Operator, n_tiles: int) -> Work:
        """Return scores, softmax and weighted sum as one product of query rows by keys, and by keys again.

        Queries of the heads that share a KV head are rows of one product; every sequence and KV head has its own.
        """
        dims = AttentionDims(**attention_dims(operator))
        macs, ops, tails = operator.macs, float(operator.vector_ops), float(operator.transcendental_ops)
        if dims.q_len == 1:
            share = self._padded_keys(operator) / _seen_keys(operator)
            macs = 2 * dims.batch * dims.heads * dims.head_dim * self._padded_keys(operator)
            ops, tails = ops * share, tails * share
        n_products = dims.batch * dims.kv_heads
        rows = dims.group * dims.q_len
        keys = macs / (2 * n_products * rows * dims.head_dim)  # mean seen by a query
        scores = n_products * rows * keys
        ops += scores * self.machine.p.program.softmax_ops_per_score
        per_tile = max(1, -(-n_products // n_tiles)) if dims.q_len == 1 else n_products
        rows_tile = rows if dims.q_len == 1 else -(-rows // n_tiles)
        read = -(-operator.input_bytes // n_tiles)
        written = -(-operator.output_bytes // n_tiles)
        return Work(
            (rows_tile,) * per_tile,
            dims.head_dim,
            math.ceil(2 * keys),
            operator.dtype,
            macs,
            macs - operator.macs,
            ops / n_tiles,
            tails / n_tiles,
            read,
            written,
        )

    def _allot(self, operators: Sequence[Operator], works: Sequence[Work]) -> list[tuple[int, int]]:
        """Give every stage a strip, and all others one by one to the stage that takes longest."""
        columns = self.machine.p.mesh.columns
        own = [i for i, operator in enumerate(operators) if operator.kind not in COLLECTIVES]
        if len(own) > columns:
            raise UnsupportedError(f"{self.machine.p.name} has {columns} strips of tiles, not {len(own)} for a stretch")
        counts = dict.fromkeys(own, 1)
        cycles = {i: self.machine.work_cycles(works[i], 1) for i in own}
        for _ in range(columns - len(own)):
            slowest = max(own, key=lambda i: (cycles[i], -i), default=None)
            if slowest is None:
                break
            counts[slowest] += 1
            cycles[slowest] = self.machine.work_cycles(works[slowest], counts[slowest])
        strips, at = [], 0
        for i in range(len(operators)):
            n = counts.get(i, 0)
            strips.append((at, n))
            at += n
        return strips

    def _stage(
        self, operator: Operator, work: Work, strips: tuple[int, int], before: tuple[int, int] | None, gate: int,
        n_tiles: int,
    ) -> Stage:  # fmt: skip
        machine = self.machine
        if operator.kind in COLLECTIVES:
            return Stage(operator, work, strips, (), (), 0, NO_STAGE, 0, 0, 0, 0.0, 0.0, 0.0, 0, True)
        tiles, at = self._tiles(operator, n_tiles)
        n_kept = 0 if operator.kind == "attention" else len(tiles)
        route, hops = machine.route(before, strips)
        deliver, deliver_hops = machine.delivery(strips)
        cycles, fill = machine.work_cycles(work, strips[1]), machine.fill_cycles(work, strips[1])
        if operator.kind == "attention":
            fill += fill + route  # scores, then softmax and weighted sum
        store = operator.kv_write_bytes
        return Stage(operator, work, strips, tiles, at, n_kept, gate, cycles, fill, route, deliver, deliver_hops, hops,
                     store, False)  # fmt: skip

    def _stream_bytes(self, operator: Operator) -> int:
        cached = operator.kv_read_bytes
        if operator.kind == "attention" and operator.dims["q_len"] == 1 and cached:
            dims = AttentionDims(**attention_dims(operator))
            cached = 2 * bytes_of(
                dims.batch * dims.kv_heads * dims.head_dim * self._padded_keys(operator), dims.kv_dtype
            )
        return operator.weight_bytes + cached

    def _tiles(self, operator: Operator, n_tiles: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the bytes of each tile of a stream and the token tile that first wants it: weights at once, what is
        cached sequence by sequence, or as queries come to it."""
        total = self._stream_bytes(operator)
        if not total:
            return (), ()
        tile = self.machine.p.program.stream_tile
        if operator.kind != "attention":
            sizes = _cut(total, -(-total // tile))
            return sizes, (0,) * len(sizes)
        each = -(-total // n_tiles)
        sizes = _cut(total, n_tiles * -(-each // tile))
        return sizes, tuple(i * n_tiles // len(sizes) for i in range(len(sizes)))


def successors(steps: Sequence[Sequence[tuple[Hashable, int, int]]]) -> Mapping[Hashable, int]:
    """Return, for every stretch of some steps (key, repeat, prefix bytes), what is wanted after it whatever comes."""
    found: dict[Hashable, int] = {}
    for step in steps:
        for index, (key, repeat, prefix) in enumerate(step):
            following = step[index + 1][2] if index + 1 < len(step) else 0
            least = min(following, prefix) if repeat > 1 else following
            found[key] = min(found.get(key, least), least)
    return found


def _tokens(operator: Operator) -> int:
    dims = operator.dims
    if operator.kind == "attention":
        return dims["batch"] * dims["q_len"]
    if operator.kind == "grouped_gemm":
        return 1
    return dims.get("tokens", dims.get("M", 1))


def _seen_keys(operator: Operator) -> int:
    seen, window = operator.dims["kv_len"], operator.dims["window"]
    return min(seen, window) if window else seen


def _cut(total: int, n: int) -> tuple[int, ...]:
    return tuple(total * (i + 1) // n - total * i // n for i in range(n))
