"""What joins chips: a fabric carries out collectives among the ranks of a stage and transfers between stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dieshot.simulator.engine.cell import Cell, ComponentSpec


@dataclass(frozen=True, slots=True)
class LocalCosts:
    """What a collective costs on the chip itself: launch and drain, and the rate of reading and adding local copies."""

    period_fs: int
    launch_fs: int
    drain_fs: int
    local_fs_per_mib: int


class Fabric(ABC):
    """Links and switches; ranks of a stage start together because they do the same work."""

    @abstractmethod
    def components(self) -> Sequence[ComponentSpec]:
        """Return one chip's lines of the log, following those of the chip."""

    @abstractmethod
    def carry_out(self, operator: Any, group: int, record: bool = True) -> Cell:
        """Simulate a collective operator (traces.Operator) among `group` chips, or a transfer to a peer (group 1)."""
