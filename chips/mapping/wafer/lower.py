"""From operators to phases: where each runs, in which layout, and what moves it there first."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

from dieshot.chips.mapping.wafer.decode import Vectors, Widths, kv_positions, wavelets
from dieshot.chips.mapping.wafer.pe import PeModel, n_bytes
from dieshot.chips.mapping.wafer.phase import GRID, OTHER, Move, Phase, Region, Rounds, X, Y
from dieshot.chips.mapping.wafer.place import Placement
from dieshot.chips.mapping.wafer.prefill import Grid
from dieshot.traces.operator import Operator

SHORT_PROMPT = 4  # rows of PEs for every token: most of a grid would be empty
ANYWHERE = ""  # the layout of what has just come in: that of whoever reads it first
MULTIPLIES = ("gemm", "grouped_gemm")
BY_HEADS = ("rope_kv_append", "attention")


def tokens_of(operator: Operator) -> int:
    """Return the rows of an operator's output; 0 where it has none."""
    dims = operator.dims
    if operator.kind == "attention":
        return dims["batch"] * dims["q_len"]
    return dims.get("M", dims.get("tokens", 0))


def lies_with_tables(operator: Operator) -> bool:
    """Return whether an operator runs where the token tables are: embedding, last norm, head and sampling."""
    is_last_norm = operator.kind == "norm" and bool(operator.dims["residual"]) and not operator.dims["writes_residual"]
    return operator.kind in ("embedding", "sample") or operator.shard == "vocab" or is_last_norm


@dataclass(frozen=True)
class Lowering:
    """A placement with everything that turns operators into phases.

    parts: widths of the matrices merged in a projection, by (N, K). chunk_tokens: of a prompt, at a time.
    group_tokens: of vectors, at a time. decoded: tokens of steps that are vectors however many they are.
    """

    pe: PeModel
    placement: Placement
    separate: bool
    parts: Mapping[tuple[int, int], Widths]
    chunk_tokens: int
    group_tokens: int = 1 << 40
    decoded: frozenset[int] = frozenset()

    def region_of(self, operator: Operator) -> Region:
        """Return where an operator runs."""
        return self.placement.tables if lies_with_tables(operator) else self.placement.layers

    def widths(self, operator: Operator) -> Widths:
        """Return the widths of the matrices in an operator's merged weights."""
        dims = operator.dims
        if operator.kind != "gemm":
            return ()
        known = self.parts.get((dims["N"], dims["K"]))
        n = sum(name.endswith("_proj") for name in operator.fused)
        if known is not None and n == len(known):
            return known
        return tuple(dims["N"] * (i + 1) // n - dims["N"] * i // n for i in range(n)) if n > 1 else (dims["N"],)

    def key(self, operator: Operator) -> Hashable:
        """Return what tells operators apart here: of a cache's length, only the positions that a PE holds.

        They lie along the columns of PEs, features along the rows: see `_first_split`.
        """
        dims = dict(operator.dims)
        if operator.kind == "attention" and dims["q_len"] == 1:
            dims |= {"kv_len": kv_positions(operator, self.placement.layers, Y), "window": 0}
        formats = (operator.dtype, operator.weight_dtype, operator.kv_dtype, operator.density)
        return (operator.kind, tuple(dims.items()), formats, operator.group_rows, operator.fused, operator.shard)

    def uses_grid(self, operator: Operator) -> bool:
        """Return whether an operator is one of a prompt with about a token for every row of PEs, or more."""
        tokens = tokens_of(operator)
        is_many = SHORT_PROMPT * tokens >= self.placement.layers.rows
        return is_many and tokens not in self.decoded and not lies_with_tables(operator)

    def lower(self, operator: Operator, at: Region, layout: str) -> tuple[list[Phase], Region, str]:
        """Return the phases of an operator whose input lies in a region and layout; where its output then lies."""
        region = self.region_of(operator)
        wanted = GRID if self.uses_grid(operator) else layout
        if wanted in (ANYWHERE, GRID) and not self.uses_grid(operator):
            wanted = self._first_split(region, operator)
        phases: list[Phase] = []
        turned = operator.kind in BY_HEADS and wanted == Y
        if layout != ANYWHERE and (at != region or (wanted == GRID) != (layout == GRID) or turned):
            wanted = GRID if wanted == GRID else self._first_split(region, operator)
            phases.append(self._move(operator, region, wanted))
        if wanted == GRID:
            return phases + self._grid(region).lower(operator, self.widths(operator)), region, GRID
        vectors = Vectors(self.pe, region, self.separate)
        after = wanted
        for part, n in self._groups(operator):
            own, after = vectors.lower(part, wanted, self.widths(operator))
            phases += own if n == 1 else [Rounds(tuple(own), n)]
        return phases, region, after

    def _groups(self, operator: Operator) -> list[tuple[Operator, int]]:
        """Return the operator on as many tokens as PEs have room for, and how often; then on what is left."""
        tokens, kind = tokens_of(operator), operator.kind
        if tokens <= self.group_tokens or kind in ("grouped_gemm", "route"):
            return [(operator, 1)]
        whole, rest = divmod(tokens, self.group_tokens)
        name = {"attention": "q_len", "gemm": "M"}.get(kind, "tokens")
        only = {"batch": 1} if kind == "attention" else {}
        sizes = [(self.group_tokens, whole), *([(rest, 1)] if rest else [])]
        return [(replace(operator, dims={**operator.dims, **only, name: each}), n) for each, n in sizes]

    def _grid(self, region: Region) -> Grid:
        return Grid(self.pe, region, self.separate, self.chunk_tokens)

    def _first_split(self, region: Region, operator: Operator) -> str:
        """Layers begin along the columns, heads lie along the rows; sums over a long vocabulary go the short way."""
        if region.name == "layers":
            return X if operator.kind in ("embedding", *BY_HEADS) else Y
        short = X if region.columns <= region.rows else Y
        return OTHER[short] if operator.kind == "embedding" else short

    def _move(self, operator: Operator, region: Region, layout: str) -> Move:
        """What an operator reads first comes in over a link, that of many tokens over one for every row."""
        read = max((each for each in operator.inputs.values()), default=1)
        n = wavelets(read, 1)
        links = min(self.placement.layers.rows, self.placement.tables.rows) if layout == GRID else 1
        return Move(region, layout, n, links, self.placement.hops + region.rows + region.columns)

    def tile_bytes(self, operator: Operator, split: str) -> tuple[int, str]:
        """Return the bytes of weights that each PE stores for an operator, and how its output is split."""
        region, dims, across = self.region_of(operator), operator.dims, OTHER[split]
        if operator.kind == "route":
            return 0, across
        if operator.kind not in MULTIPLIES:
            return region.share(dims.get("hidden", 0), split) * n_bytes(operator.weight_dtype), split
        k = region.share(dims["K"], split)
        widths = self.widths(operator) if self.separate and operator.kind == "gemm" else (dims["N"],)
        n = sum(region.share(width, across) for width in widths)
        return k * n * n_bytes(operator.weight_dtype) * dims.get("experts", 1), across
