"""One forward pass: what the block builders need to know."""

from dataclasses import dataclass

from dieshot.traces.config import ModelConfig
from dieshot.traces.dtype import Precision, bytes_of
from dieshot.traces.sparsity import DENSE, Sparsity
from dieshot.traces.work import Formats


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """A step of `batch` sequences with `q_len` new tokens each, their caches `kv_len` long afterwards.

    sparsity: of the GEMMs inside the layers.
    """

    model: ModelConfig
    precision: Precision
    kv_dtype: str
    batch: int
    q_len: int
    kv_len: int
    sparsity: Sparsity = DENSE

    @property
    def tokens(self) -> int:
        """New tokens of all sequences: the rows of every GEMM of a layer."""
        return self.batch * self.q_len

    @property
    def hidden_bytes(self) -> int:
        """Bytes of one hidden-state tensor in the carrier format."""
        return bytes_of(self.tokens * self.model.hidden_size, self.precision.carrier)

    @property
    def gemm(self) -> Formats:
        """Formats of a GEMM inside the layers: narrow in, carrier out."""
        return Formats(self.precision.block, self.precision.weight, self.precision.carrier)

    @property
    def carrier(self) -> Formats:
        """Formats of a kernel that stays in the carrier format, weights included."""
        return Formats(self.precision.carrier, self.precision.carrier, self.precision.carrier)

    @property
    def table(self) -> Formats:
        """Formats of the embedding and the language-model head: their weights may be stored narrower."""
        return Formats(self.precision.carrier, self.precision.table, self.precision.carrier)

    @property
    def narrowing(self) -> Formats:
        """Formats of a weightless kernel that feeds a layer's GEMM."""
        return Formats(self.precision.carrier, None, self.precision.block)

    def fused(self, *names: str) -> tuple[str, ...]:
        """Return the logical operators of a kernel that feeds a layer's GEMM, the narrowing among them."""
        return (*names, "quantise") if self.precision.quantised else names
