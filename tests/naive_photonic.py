"""Optical arrays moved tick by tick: the slow twin of kernels/photonic.py.

A core is a writer, a buffer beside the array (or none) and the array, each with what it holds and until when it is at
work. In every tick whatever may happen happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Block:
    """A block to be written and used, and when that was. write, settle: ticks; vectors: passed, `issue` ticks each."""

    write: int
    settle: int
    vectors: int
    weights_ready: int
    vectors_ready: int
    write_start: int = -1
    pass_start: int = -1
    pass_end: int = -1


@dataclass
class Core:
    """One array with its writer; blocks in order."""

    issue: int
    buffers: int
    blocks: list[Block] = field(default_factory=list)

    def run(self) -> None:
        """Move until every block has been used."""
        tick = 0
        n_begun = 0  # blocks whose writing has begun
        written_at = -1  # the block under the writer is done then
        waiting: Block | None = None  # written, beside the array
        held: Block | None = None  # in the array
        settled_at = -1
        n_used = 0
        writing: Block | None = None
        while n_used < len(self.blocks):
            moved = True
            while moved:
                moved = False
                if held is not None and held.pass_end == tick:
                    held, moved = None, True
                    n_used += 1
                if writing is not None and written_at == tick and waiting is None:
                    waiting, writing, moved = writing, None, True
                if waiting is not None and held is None:
                    held, waiting, moved = waiting, None, True
                    settled_at = tick + held.settle
                if held is not None and held.pass_start < 0 and settled_at <= tick and held.vectors_ready <= tick:
                    held.pass_start, moved = tick, True
                    held.pass_end = tick + held.vectors * self.issue
                room = waiting is None if self.buffers == 2 else waiting is None and held is None
                if n_begun < len(self.blocks) and writing is None and room:
                    block = self.blocks[n_begun]
                    if block.weights_ready <= tick:
                        block.write_start, written_at = tick, tick + block.write
                        writing, moved = block, True
                        n_begun += 1
            tick += 1
