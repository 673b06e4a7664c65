"""What a run recorded of its steps: which each stage carried out, in which order, when, and of what it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import Activity, ComponentSpec
from dieshot.simulator.engine.chip import Resource
from dieshot.simulator.studies.limit import HOST

OperatorName = tuple[str, str, str]  # phase, name, kind
DRAIN: OperatorName = ("", "drain", "drain")
HOST_GAP: OperatorName = ("", "host gap", HOST)


class Part(NamedTuple):
    """Instances of an operator that went alike, within a step; cells: those of one instance, `duration_fs` long."""

    operator: OperatorName
    times: int
    duration_fs: int
    cells: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepShape:
    """A step of a stage: its parts, which follow each other."""

    parts: tuple[Part, ...]

    @property
    def duration_fs(self) -> int:
        """Time of the step."""
        return sum(part.times * part.duration_fs for part in self.parts)

    def time_of(self, operator: OperatorName) -> int:
        """Return the time of all instances of an operator."""
        return sum(part.times * part.duration_fs for part in self.parts if part.operator == operator)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run's steps, distinct ones kept once.

    A stage takes turns: turn i is step i // micro_batches of micro-batch i % micro_batches. shape, start_fs: of each
    turn and stage. n_known: turns whose input is there `gap_fs` after the run's start; all later ones wait for a token
    of the last stage. activity: of a cell by its number. inputs: texts that the run can be made from again.
    """

    shapes: Sequence[StepShape]
    shape: NDArray[np.int64]
    start_fs: NDArray[np.int64]
    duration_fs: int
    gap_fs: int
    micro_batches: int
    n_known: int
    specs: Sequence[ComponentSpec]
    activity: Callable[[int], Activity]
    cell_duration_fs: Callable[[int], int]
    inputs: Mapping[str, str]
    name: str
    operators_overlap: bool
    main_kind: str
    resources: Mapping[str, Resource] = field(default_factory=dict)
