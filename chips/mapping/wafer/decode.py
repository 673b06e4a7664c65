"""Operators on vectors: few tokens, split along one axis of a region and copied along the other.

A projection multiplies where its weights lie, sums along the axis that its input is split by, and leaves its output
split by the other: so the two take turns, and no vector is ever turned.
"""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.chips.mapping.wafer.pe import ELEMENT_BYTES, PeModel, joined, n_bytes
from dieshot.chips.mapping.wafer.phase import OTHER, AllReduce, Multicast, Neighbour, Phase, Region
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.operator import Operator

WAVELET_BYTES = 4
Widths = tuple[int, ...]


def wavelets(n: int, element_bytes: int = ELEMENT_BYTES) -> int:
    """Return the wavelets that n elements are packed in."""
    return max(1, -(-n * element_bytes // WAVELET_BYTES))


@dataclass(frozen=True)
class Vectors:
    """Lowers operators to phases in one region. `parts`: widths of the matrices that a merged projection stands for."""

    pe: PeModel
    region: Region
    separate: bool

    def lower(self, operator: Operator, split: str, parts: Widths) -> tuple[list[Phase], str]:
        """Return the phases of an operator whose input is split along an axis, and the axis that its output is."""
        lowering = getattr(self, operator.kind, None)
        if lowering is None:
            raise UnsupportedError(f"{self.pe.name} has no program for {operator.kind} (operator {operator.name})")
        if operator.kind == "gemm":
            return self.gemm(operator, split, parts)
        phases, after = lowering(operator, split)
        return phases, after

    def gemm(self, operator: Operator, split: str, parts: Widths) -> tuple[list[Phase], str]:
        """Matrix times vector, sums along the input's axis; one after the other where matrices are separate."""
        region, dims, across = self.region, operator.dims, OTHER[split]
        rate = self.pe.rate(operator.dtype, operator.name)
        k = region.share(dims["K"], split)
        phases: list[Phase] = []
        for width in parts if self.separate else (dims["N"],):
            n = region.share(width, across)
            stored = n_bytes(operator.weight_dtype)
            work = self.pe.matmul(region, dims["M"], k, n, rate, stored, operator.density)
            phases += [work, AllReduce(split, wavelets(dims["M"] * n))]
        if dims["bias"]:
            phases.append(self.pe.vector(region, dims["M"] * region.share(dims["N"], across), 1))
        return phases, across

    def grouped_gemm(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """Experts one after the other, each spread over the whole region; one sum for the rows of all."""
        region, dims, across = self.region, operator.dims, OTHER[split]
        rate = self.pe.rate(operator.dtype, operator.name)
        k, n = region.share(dims["K"], split), region.share(dims["N"], across)
        stored = n_bytes(operator.weight_dtype)
        each = [
            self.pe.matmul(region, rows, k, n, rate, stored, operator.density) for rows in operator.group_rows if rows
        ]
        return [joined(*each), AllReduce(split, wavelets(dims["M"] * n))], across

    def norm(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """Squares added locally, then along the axis; every PE scales what it has."""
        region, dims = self.region, operator.dims
        n, tokens = dims["tokens"] * region.share(dims["hidden"], split), dims["tokens"]
        before = self.pe.vector(region, n, 1 + dims["residual"] + dims["shift"])
        after = joined(self.pe.transcendental(region, tokens), self.pe.vector(region, n, 2 + 2 * dims["shift"]))
        return [before, AllReduce(split, tokens * (1 + dims["shift"])), after], split

    def rope_kv_append(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """Rotate what is here; keys and values move up by one PE, so that positions stay spread evenly."""
        region, dims = self.region, operator.dims
        queries = dims["tokens"] * region.share(dims["heads"] * dims["head_dim"], split)
        keys = dims["tokens"] * region.share(dims["kv_heads"] * dims["head_dim"], split)
        phases: list[Phase] = []
        if dims["qk_norm"]:
            phases.append(self.pe.vector(region, queries + keys, 1))
            per_head = dims["tokens"] * (dims["heads"] // dims["kv_heads"] + 1)
            phases.append(AllReduce(split, per_head, self._stretches(dims["kv_heads"], split)))
            phases.append(joined(self.pe.transcendental(region, per_head), self.pe.vector(region, queries + keys, 2)))
        phases.append(joined(self.pe.vector(region, queries, 3), self.pe.vector(region, keys, 3)))
        moved = wavelets(2 * keys, n_bytes(operator.kv_dtype))
        return [*phases, Neighbour(OTHER[split], moved), self.pe.vector(region, 2 * keys, 1)], split

    def attention(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """Positions lie along one axis, features along the other, a KV head on a stretch of it.

        Scores add up along the stretch; largest and sum of the softmax, and the weighted values, along the positions.
        Every query meets all positions: what a mask hides is computed, too.
        """
        region, dims, along = self.region, operator.dims, OTHER[split]
        rate = self.pe.rate(operator.dtype, operator.name)
        positions = kv_positions(operator, region, along)
        features = region.share(dims["kv_heads"] * dims["head_dim"], split)
        queries = dims["batch"] * dims["q_len"] * (dims["heads"] // dims["kv_heads"])
        stored = n_bytes(operator.kv_dtype)
        scores = queries * positions
        score = self.pe.matmul(region, queries, features, positions, rate, stored)
        weigh = self.pe.matmul(region, queries, positions, features, rate, stored)
        spread = joined(
            self.pe.vector(region, scores, 1), self.pe.transcendental(region, scores), self.pe.vector(region, scores, 1)
        )
        divide = joined(
            self.pe.transcendental(region, queries), self.pe.vector(region, queries * features, 1)
        )  # by the sum, after the values are weighed
        return [
            score,
            AllReduce(split, wavelets(scores), self._stretches(dims["kv_heads"], split)),
            self.pe.vector(region, scores, 2),
            AllReduce(along, wavelets(queries)),
            spread,
            AllReduce(along, queries),
            weigh,
            AllReduce(along, wavelets(queries * features)),
            divide,
        ], split

    def activation(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """Every PE for what it has."""
        n = operator.dims["tokens"] * self.region.share(operator.dims["ffn"], split)
        passes = 4 if operator.dims["gated"] else 3
        return [joined(self.pe.transcendental(self.region, n), self.pe.vector(self.region, n, passes))], split

    def route(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """Largest and sum of the softmax, then the largest again for every expert chosen; hidden rows stay in place."""
        region, dims = self.region, operator.dims
        tokens = dims["tokens"]
        n = tokens * region.share(dims["experts"], split)
        largest: list[Phase] = [AllReduce(split, 2 * tokens)] * dims["top_k"]
        softmax = joined(self.pe.vector(region, n, 3), self.pe.transcendental(region, n))
        return [softmax, AllReduce(split, tokens), *largest], OTHER[split]

    def moe_combine(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """Weighted sum of the experts' rows, every PE for what it has."""
        rows = operator.dims["tokens"] * operator.dims["top_k"]
        return [self.pe.vector(self.region, rows * self.region.share(operator.dims["hidden"], split), 2)], split

    def embedding(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """The token's number goes to all rows, the row that has it sends it along the columns."""
        region, dims, across = self.region, operator.dims, OTHER[split]
        n = dims["tokens"] * dims["tables"] * region.share(dims["hidden"], across)
        look_up = self.pe.vector(region, n, 1)
        return [Multicast(split, dims["tokens"]), look_up, Multicast(split, wavelets(n))], across

    def sample(self, operator: Operator, split: str) -> tuple[list[Phase], str]:
        """Largest logit with its number, then the sum of the exponentials, along the axis."""
        region, dims = self.region, operator.dims
        tokens = dims["tokens"]
        n = tokens * region.share(dims["vocab"], split)
        spread = joined(self.pe.vector(region, n, 2), self.pe.transcendental(region, n))
        return [self.pe.vector(region, n, 1), AllReduce(split, 2 * tokens), spread, AllReduce(split, tokens)], split

    def _stretches(self, kv_heads: int, axis: str) -> int:
        return min(kv_heads, self.region.length(axis))


def kv_positions(operator: Operator, region: Region, axis: str) -> int:
    """Return how many positions of a sequence's cache each PE of a line holds."""
    dims = operator.dims
    seen = min(dims["kv_len"], dims["window"] + dims["q_len"] - 1) if dims["window"] else dims["kv_len"]
    return region.share(seen, axis)
