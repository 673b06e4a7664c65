"""Weights on their way to the matrix unit: as stored, dense or 2:4-compressed, converted where the formats differ."""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.chips.mapping.gpu.machine import DTYPE_BYTES

GROUP = 4  # neighbours along K of which 2:4 sparsity keeps two


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """dtype: as stored. operand_dtype: as multiplied. index_bits: beside each kept value of 2:4 weights, 0 if dense."""

    dtype: str
    operand_dtype: str
    index_bits: int = 0

    @property
    def sparse(self) -> bool:
        """Whether half of the values are left out."""
        return self.index_bits > 0

    @property
    def converted(self) -> bool:
        """Whether the vector unit changes the format before the matrix unit can multiply."""
        return self.dtype != self.operand_dtype

    def kept(self, k: int) -> int:
        """Return how many of `k` values along K are stored and multiplied."""
        return 2 * -(-k // GROUP) if self.sparse else k

    def row_bytes(self, k: int) -> int:
        """Return the bytes of `k` values along K as they come from memory, index included."""
        kept = self.kept(k)
        return kept * DTYPE_BYTES[self.dtype] + -(-kept * self.index_bits // 8)

    def operand_row_bytes(self, k: int) -> int:
        """Return the bytes of `k` values along K as the matrix unit reads them from shared memory."""
        kept = self.kept(k)
        return kept * DTYPE_BYTES[self.operand_dtype] + -(-kept * self.index_bits // 8)
