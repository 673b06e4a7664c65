"""Operators on many tokens: tokens over the rows, features over the columns, tiles that go round until all have met.

A ring on a line goes out over every second PE and back over the others, so that no way is longer than two hops. Where
an axis is shorter than the other, some of its PEs hold two places of the ring.
"""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.chips.mapping.wafer.decode import Widths, wavelets
from dieshot.chips.mapping.wafer.pe import ELEMENT_BYTES, PeModel, joined, n_bytes
from dieshot.chips.mapping.wafer.phase import AllReduce, Phase, Region, Shift, Work, X
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.operator import Operator


@dataclass(frozen=True)
class Grid:
    """Lowers operators to phases in one region; tokens of a chunk: as many as the PEs' buffers hold at a time."""

    pe: PeModel
    region: Region
    separate: bool
    chunk_tokens: int

    def lower(self, operator: Operator, parts: Widths) -> list[Phase]:
        """Return the phases of an operator on tokens spread over the rows."""
        lowering = getattr(self, operator.kind, None)
        if lowering is None:
            raise UnsupportedError(f"{self.pe.name} has no program for prompts with {operator.kind} ({operator.name})")
        if operator.kind == "gemm":
            return self.gemm(operator, parts)
        phases: list[Phase] = lowering(operator)
        return phases

    def chunks(self, tokens: int) -> list[int]:
        """Return the tokens a row of every chunk of a prompt."""
        whole, rest = divmod(tokens, self.chunk_tokens)
        each = self.region.share(self.chunk_tokens, "y")
        return [each] * whole + ([self.region.share(rest, "y")] if rest else [])

    @property
    def places(self) -> int:
        """Places of a ring, so steps until every tile has been everywhere."""
        return max(self.region.rows, self.region.columns)

    def gemm(self, operator: Operator, parts: Widths) -> list[Phase]:
        """Align the activations, then shift them along the rows and the weights along the columns."""
        region, dims = self.region, operator.dims
        rate = self.pe.rate(operator.dtype, operator.name)
        stored = n_bytes(operator.weight_dtype)
        k = -(-dims["K"] // self.places)
        phases: list[Phase] = []
        for m in self.chunks(dims["M"]):
            left = wavelets(m * k)
            phases.append(Shift(-(-self.places // 2), 0, left))
            for width in parts if self.separate else (dims["N"],):
                n = region.share(width, X)
                work = self.pe.matmul(region, m, k, n, rate, stored, operator.density)
                moved = left + wavelets(k * n, stored)
                phases.append(_steps(self.places, work, moved))
            if dims["bias"]:
                phases.append(self.pe.vector(region, m * region.share(dims["N"], X), 1))
        return phases

    def norm(self, operator: Operator) -> list[Phase]:
        """Squares of a token add up along its row of PEs."""
        region, dims = self.region, operator.dims
        features = region.share(dims["hidden"], X)
        phases: list[Phase] = []
        for m in self.chunks(dims["tokens"]):
            n = m * features
            after = joined(self.pe.transcendental(region, m), self.pe.vector(region, n, 2 + 2 * dims["shift"]))
            before = self.pe.vector(region, n, 1 + dims["residual"] + dims["shift"])
            phases += [before, AllReduce(X, m * (1 + dims["shift"])), after]
        return phases

    def rope_kv_append(self, operator: Operator) -> list[Phase]:
        """Rotate and keep: keys and values of a token stay in its row."""
        region, dims = self.region, operator.dims
        phases: list[Phase] = []
        for m in self.chunks(dims["tokens"]):
            queries = m * region.share(dims["heads"] * dims["head_dim"], X)
            keys = m * region.share(dims["kv_heads"] * dims["head_dim"], X)
            if dims["qk_norm"]:
                per_head = m * (dims["heads"] // dims["kv_heads"] + 1)
                stretches = min(dims["kv_heads"], region.columns)
                phases += [self.pe.vector(region, queries + keys, 3), AllReduce(X, per_head, stretches)]
                phases.append(self.pe.transcendental(region, per_head))
            phases.append(
                joined(
                    self.pe.vector(region, queries, 3),
                    self.pe.vector(region, keys, 3),
                    self.pe.vector(region, 2 * keys, 1),
                )
            )
        return phases

    def attention(self, operator: Operator) -> list[Phase]:
        """Chunk by chunk of every sequence: keys go round the columns, scores are kept, values go round."""
        dims = operator.dims
        phases: list[Phase] = []
        before = dims["kv_len"] - dims["q_len"]
        chunks = self.chunks(dims["q_len"])
        for i, m in enumerate(chunks):
            end = before + min(dims["q_len"], (i + 1) * self.chunk_tokens)
            seen = end if dims["causal"] else dims["kv_len"]
            if dims["window"]:
                seen = min(seen, dims["window"] + self.chunk_tokens - 1)
            phases += self._attend(operator, m, seen)
        return phases * dims["batch"]

    def _attend(self, operator: Operator, m: int, keys: int) -> list[Phase]:
        region, dims = self.region, operator.dims
        rate, stored = self.pe.rate(operator.dtype, operator.name), n_bytes(operator.kv_dtype or operator.dtype)
        queries = m * (dims["heads"] // dims["kv_heads"])
        positions = region.share(keys, "y")
        features = region.share(dims["kv_heads"] * dims["head_dim"], X)
        stretches = min(dims["kv_heads"], region.columns)
        score = self.pe.matmul(region, queries, features, positions, rate, stored)
        weigh = self.pe.matmul(region, queries, positions, features, rate, stored)
        block, tile = wavelets(queries * positions), wavelets(positions * features, stored)
        # Of all scores of a query, a PE of its head's stretch keeps an equal share for the softmax.
        kept = -(-queries * positions * region.rows * stretches // region.columns)
        spread = joined(self.pe.vector(region, kept, 1), self.pe.transcendental(region, kept))
        return [
            _steps(region.rows, score, block + tile),
            self.pe.vector(region, kept, 2),
            AllReduce(X, wavelets(queries), stretches),
            spread,
            AllReduce(X, queries, stretches),
            _steps(region.rows, weigh, block + tile),
            joined(self.pe.transcendental(region, queries), self.pe.vector(region, queries * features, 1)),
        ]

    def activation(self, operator: Operator) -> list[Phase]:
        """Every PE for what it has."""
        region = self.region
        passes = 4 if operator.dims["gated"] else 3
        works = []
        for m in self.chunks(operator.dims["tokens"]):
            n = m * region.share(operator.dims["ffn"], X)
            works.append(joined(self.pe.transcendental(region, n), self.pe.vector(region, n, passes)))
        return [joined(*works)]

    def grouped_gemm(self, operator: Operator) -> list[Phase]:
        """Experts one after the other, each with its own tokens where they are."""
        region, dims = self.region, operator.dims
        rate, stored = self.pe.rate(operator.dtype, operator.name), n_bytes(operator.weight_dtype)
        k, n = -(-dims["K"] // self.places), region.share(dims["N"], X)
        phases: list[Phase] = []
        for rows in filter(None, operator.group_rows):
            for m in self.chunks(rows):
                work = self.pe.matmul(region, m, k, n, rate, stored, operator.density)
                phases.append(Shift(-(-self.places // 2), 0, wavelets(m * k)))
                phases.append(_steps(self.places, work, wavelets(m * k) + wavelets(k * n, stored)))
        return phases

    def route(self, operator: Operator) -> list[Phase]:
        """Sum of the softmax, then the largest for every expert chosen, along the rows; tokens stay in place."""
        region, dims = self.region, operator.dims
        phases: list[Phase] = []
        for m in self.chunks(dims["tokens"]):
            n = m * region.share(dims["experts"], X)
            phases.append(joined(self.pe.vector(region, n, 3), self.pe.transcendental(region, n)))
            phases += [AllReduce(X, m), *[AllReduce(X, 2 * m)] * dims["top_k"]]
        return phases

    def moe_combine(self, operator: Operator) -> list[Phase]:
        """Weighted sum of the experts' rows, every PE for what it has."""
        region, dims = self.region, operator.dims
        rows = sum(self.chunks(dims["tokens"] * dims["top_k"]))
        return [self.pe.vector(region, rows * region.share(dims["hidden"], X), 2)]

    def buffer_bytes(self, hidden: int, ffn: int, scores: int) -> int:
        """Return what a PE needs for a chunk: residual, normed, feed-forward twice, scores, a row of weights twice."""
        m = self.region.share(self.chunk_tokens, "y")
        features, wide = self.region.share(hidden, X), self.region.share(ffn, X)
        return ELEMENT_BYTES * (m * (4 * features + 2 * wide) + scores + 2 * wide)


def _steps(n: int, work: Work, moved: int) -> Shift:
    return Shift(n, work.cycles, moved, work.macs, work.sram_bytes)
