"""A stretch of operators as the parts of a photonic chip see it: steps in program order, and their timing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels.photonic import N_RUN

Rows = NDArray[np.int64]

NONE = -1


def no_runs() -> Rows:
    """Return the runs of a step that leaves the arrays alone."""
    return np.empty((0, N_RUN), np.int64)


@dataclass(frozen=True, slots=True)
class HostTiming:
    """The host's memory and the link to it. buffers: tiles loaded ahead or in use."""

    memory_bytes_per_s: int
    link_bytes_per_s: int
    latency_fs: int
    buffers: int


@dataclass(frozen=True, slots=True)
class PhotonicTiming:
    """What the parts of the chip need to know. period_fs: of the digital clock. issue_fs: between two vectors.

    From digits to digits a vector takes dac_fs (with its modulators), flight_fs, amplifier_fs, adc_fs, sum_fs.
    """

    n_cores: int
    period_fs: int
    issue_fs: int
    buffers: int
    dac_fs: int
    flight_fs: int
    amplifier_fs: int
    adc_fs: int
    sum_fs: int
    weight_sram_bytes: int
    host: HostTiming

    @property
    def light_fs(self) -> int:
        """From a vector's digits to the converters of its results."""
        return self.dac_fs + self.flight_fs + self.amplifier_fs

    @property
    def pass_fs(self) -> int:
        """From a vector's digits to those of its results, sums included."""
        return self.light_fs + self.adc_fs + max(self.sum_fs, self.issue_fs)


@dataclass(frozen=True, slots=True)
class Step:
    """A tile that is loaded, passed through the arrays, worked on by the lanes and stored, each if any.

    load: bytes from the host; gated: there only when the operator before is done; hold: bytes of SRAM from the load to
    the step's end. runs (n, N_RUN): blocks on the arrays, see kernels.photonic. streamed: what was loaded passes as
    vectors, and the operator's rows are the blocks. after: step whose results this one needs (NONE: those of the
    operator before). vector_fs, ops: of the lanes, on the arrays' results or alone. store: bytes to the host.
    """

    operator: int
    load: int = 0
    gated: bool = False
    hold: int = 0
    runs: Rows = field(default_factory=no_runs)
    streamed: bool = False
    after: int = NONE
    vector_fs: int = 0
    ops: int = 0
    store: int = 0


class Pass(NamedTuple):
    """Blocks of a step as they went: when the host's data were in SRAM, and what was to be written (both fs); runs and
    their times, see kernels.photonic."""

    step: int
    loaded_fs: int
    weights_fs: int
    runs: Rows
    times: Rows


@dataclass(frozen=True, slots=True)
class PhotonicProgram:
    """steps: those of an operator together. issue_fs (operators): from the end of the one before to its begin;
    operand_bits (operators): of a value in SRAM."""

    steps: tuple[Step, ...]
    issue_fs: tuple[int, ...]
    operand_bits: tuple[int, ...]

    @property
    def last_step(self) -> list[int]:
        """The last step of every operator."""
        operators = np.array([step.operator for step in self.steps])
        found: list[int] = (np.searchsorted(operators, np.arange(len(self.issue_fs)), side="right") - 1).tolist()
        return found
