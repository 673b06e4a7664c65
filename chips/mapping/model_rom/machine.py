"""Geometry and latencies of a block, in cycles, as the lowering and the parts need them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from dieshot.chips.parameters.model_rom import ModelRomParameters
from dieshot.simulator.engine.clock import Clock


@dataclass(frozen=True, slots=True)
class BlockMachine:
    """One block. arrival_cycles: from forming products to the lanes; result_cycles: from a lane to its sum.

    n_banks, word_bytes: of the SRAM beside the block.
    """

    parameters: ModelRomParameters
    period_fs: int
    arrival_cycles: int
    result_cycles: int
    n_banks: int
    word_bytes: int
    rank: int

    @staticmethod
    def of(p: ModelRomParameters) -> BlockMachine:
        """Return the machine of a document."""
        tree = ceil(ceil(log2(max(2, p.rom.rows))) / p.rom.adder_levels)
        return BlockMachine(
            p,
            Clock.from_hz(p.clock).period_fs,
            p.rom.product + p.rom.broadcast,
            p.rom.read + tree + 1,
            p.sram.capacity // p.rom.layers // p.sram.bank,
            p.sram.port,
            int(p.lora.rank),
        )

    @property
    def bytes_per_block(self) -> int:
        """SRAM beside each block."""
        return self.parameters.sram.capacity // self.parameters.rom.layers

    def beats(self, words: int) -> int:
        """Return the beats of all banks that words take."""
        return -(-words // self.n_banks)

    def lane_cycles(self, word_macs: int) -> int:
        """Return how long the multipliers take for a beat."""
        return -(-self.n_banks * word_macs // self.parameters.attention.mac_rate)
