"""The dispatcher as a part: hands the CTAs that the launch has not placed to the slots that become free."""

from __future__ import annotations

from dieshot.chips.parts.activity import Rows
from dieshot.chips.parts.gpu.tile_kernel import TileKernel
from dieshot.kernels import die


class Dispatcher:
    """The order of a kernel's CTAs; `regs` of the die hold the next one. A persistent kernel has all of them placed."""

    def __init__(self, kernel: TileKernel, n_launched: int, regs: Rows) -> None:
        self.n_ctas = n_launched if kernel.persistent else len(kernel.ctas)
        self.regs = regs
        regs[die.NEXT_CTA] = n_launched

    @property
    def is_done(self) -> bool:
        """Whether all CTAs have been handed out."""
        return bool(self.regs[die.NEXT_CTA] >= self.n_ctas)
