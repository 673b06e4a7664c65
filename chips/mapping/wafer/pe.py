"""What one PE of a wafer needs for work on its own tiles: vector instructions, their start, SRAM ports."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from dieshot.chips.mapping.wafer.phase import Region, Work
from dieshot.chips.parameters.wafer import WaferParameters
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.dtype import DTYPE_BITS

SUM_BYTES = 2
ELEMENT_BYTES = 2  # of activations in norms, softmax and the like
FORMATS = ("fp16", "bf16", "int8")


def n_bytes(dtype: str | None) -> int:
    """Return the bytes of an element, 2 where there is no format."""
    return DTYPE_BITS[dtype] // 8 if dtype else ELEMENT_BYTES


@dataclass(frozen=True)
class PeModel:
    """A PE with its parameters; start_cycles: of a vector instruction."""

    start_cycles: int
    read_bytes: int
    write_bytes: int
    cache_bytes: int
    mac_rate: dict[str, int]
    vector_rate: int
    transcendental_passes: int
    most_skipping: float
    name: str

    @staticmethod
    def of(p: WaferParameters) -> PeModel:
        """Return the model of a chip document."""
        return PeModel(
            p.software.vector_start,
            p.pe.read_bandwidth,
            p.pe.write_bandwidth,
            p.pe.cache or 0,
            dict(p.pe.mac_rate),
            p.pe.vector_rate,
            p.software.transcendental_passes,
            p.sparsity.most if p.sparsity.zero_skipping else 1.0,
            p.name,
        )

    def rate(self, dtype: str, operator: str) -> int:
        """Return MACs a cycle; UnsupportedError for a format without multipliers."""
        if dtype not in self.mac_rate:
            raise UnsupportedError(
                f"{self.name} does not multiply {dtype} (operator {operator}); it multiplies "
                f"{', '.join(sorted(self.mac_rate))}"
            )
        return self.mac_rate[dtype]

    def kept(self, density: float) -> Fraction:
        """Return the share of multiplications that are carried out where zero weights are skipped, else all."""
        most = Fraction(str(self.most_skipping))
        return max(Fraction(str(density)), 1 / most) if most > 1 else Fraction(1)

    def matmul(
        self, region: Region, m: int, k: int, n: int, rate: int, stored_bytes: int, density: float = 1.0
    ) -> Work:
        """Return the work of all PEs that multiply (m, k) by a stored (k, n) each: the cheapest order of the loops.

        The innermost loop is a vector instruction: over n it adds a row of weights to sums, over k it forms one sum,
        over m it adds a column of activations. What fits in the cache needs no port of the SRAM.
        """
        kept = self.kept(density)
        choices = []
        for length, n_instructions, streamed, sums in (
            (n, m * k, stored_bytes, True),
            (k, m * n, stored_bytes, False),
            (m, k * n, ELEMENT_BYTES, True),
        ):
            cached = length * SUM_BYTES <= self.cache_bytes
            read = streamed + (0 if cached else SUM_BYTES)
            written = SUM_BYTES if sums and not cached else 0
            per_cycle = min(rate, self.read_bytes // read, self.write_bytes // written if written else rate)
            done = ceil(length * kept)
            cycles = n_instructions * (self.start_cycles + -(-done // max(1, per_cycle)))
            choices.append((cycles, n_instructions * done * (read + written), n_instructions * done))
        cycles, moved, macs = min(choices)
        return Work(cycles, macs=macs * region.n_pes, sram_bytes=moved * region.n_pes)

    def vector(self, region: Region, n: int, passes: int) -> Work:
        """Return the work of all PEs that pass over n elements some times."""
        per_cycle = min(self.vector_rate, self.read_bytes // (2 * ELEMENT_BYTES), self.write_bytes // ELEMENT_BYTES)
        if n * ELEMENT_BYTES <= self.cache_bytes:
            per_cycle = self.vector_rate
        cycles = passes * (self.start_cycles + -(-n // per_cycle))
        ops = n * passes * region.n_pes
        return Work(cycles, vector_ops=ops, sram_bytes=3 * ELEMENT_BYTES * ops)

    def transcendental(self, region: Region, n: int) -> Work:
        """Return the work of all PEs for n exponentials, reciprocals or roots each."""
        return self.vector(region, n, self.transcendental_passes)


def joined(*works: Work) -> Work:
    """Return work done one after the other."""
    return Work(
        sum(work.cycles for work in works),
        sum(work.macs for work in works),
        sum(work.vector_ops for work in works),
        sum(work.sram_bytes for work in works),
    )
