"""One operator: a kernel that a serving stack launches, with what it reads, computes and writes."""

from collections.abc import Mapping
from dataclasses import dataclass

from dieshot.traces.sparsity import DENSE
from dieshot.traces.work import resident_weight_bytes

# Dimensions of each kind, in the order of the trace file. Flags are 0 or 1.
KIND_DIMS: Mapping[str, tuple[str, ...]] = {
    # tables: look-ups per token (BERT adds word, position and type rows; vocab counts the rows of all);
    # ranks: over how many ranks the rows are split.
    "embedding": ("tokens", "hidden", "vocab", "tables", "ranks"),
    # residual: adds a second input; writes_residual: also writes the carrier-format residual stream;
    # shift: LayerNorm (mean taken off, shift added) instead of RMSNorm.
    "norm": ("tokens", "hidden", "residual", "writes_residual", "shift"),
    "gemm": ("M", "N", "K", "bias"),
    "grouped_gemm": ("M", "N", "K", "experts"),
    "rope_kv_append": ("tokens", "heads", "kv_heads", "head_dim", "qk_norm"),
    # kv_len: length after this step, queries are its last q_len; window: keys seen by a query, 0 for all.
    "attention": ("batch", "q_len", "kv_len", "heads", "kv_heads", "head_dim", "causal", "window"),
    "activation": ("tokens", "ffn", "gated"),
    # carried: tokens came before, whose state is read; kernel: inputs that an output sees; state: numbers a channel.
    "convolution": ("batch", "q_len", "channels", "carried", "kernel", "bias"),
    "selective_scan": ("batch", "q_len", "channels", "carried", "state"),
    "route": ("tokens", "experts", "top_k", "hidden"),
    "moe_combine": ("tokens", "hidden", "top_k"),
    "sample": ("tokens", "vocab"),
    # elements: of the result, on each rank; group: ranks taking part.
    "all_reduce": ("elements", "group"),
    "all_gather": ("elements", "group"),
    "send_recv": ("elements",),
}
# Flags that are left out where they are 0. scaled: the rows are multiplied by a constant (Gemma).
OPTIONAL_DIMS: Mapping[str, tuple[str, ...]] = {"embedding": ("scaled",)}
KINDS = tuple(KIND_DIMS)
FLAGS = frozenset({"scaled", "residual", "writes_residual", "shift", "bias", "qk_norm", "causal", "gated", "carried"})
MAY_BE_ZERO = FLAGS | {"window"}

SHARDS = ("replicate", "column", "row", "heads", "vocab", "experts_column", "experts_row")

# Producers outside the block: the last operator of the previous block instance (or the step's input),
# and the residual stream as the latest norm or embedding left it.
PREVIOUS = "@prev"
RESIDUAL = "@residual"

# Every count of one operator fits a signed 64-bit integer, so that arrays of operators can be made.
MAX_COUNT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of one rank.

    name: unique within its block. kind: one of KINDS. dims: the dimensions that KIND_DIMS names for it, and of
    OPTIONAL_DIMS those that are not 0.
    dtype: format of the data and of the multiplier inputs. weight_dtype: as stored, converted to dtype on the way where
    it differs. weight_dtype, kv_dtype: None where there are none.
    inputs: producer -> bytes read from it, PREVIOUS and RESIDUAL being producers outside the block.
    weight_bytes: parameters read from memory at least once (of an embedding only the rows looked up, of grouped
    experts only those with rows); kv_read_bytes, kv_write_bytes: traffic of the KV cache, or of a
    recurrent state, each byte once.
    macs: multiply-accumulates of matrix work. vector_ops: elementwise floating-point operations.
    transcendental_ops: exponentials, reciprocal square roots, hyperbolic tangents.
    shard: how tensor parallelism splits it. fused: the logical operators inside this kernel.
    group_rows: grouped_gemm only, rows of each expert, zeros allowed.
    sparsity, density: pattern of the zeros among the weights and the share that is not zero; counts are the dense ones.
    """

    name: str
    kind: str
    dims: Mapping[str, int]
    dtype: str
    weight_dtype: str | None
    output_dtype: str
    kv_dtype: str | None
    inputs: Mapping[str, int]
    weight_bytes: int
    output_bytes: int
    kv_read_bytes: int
    kv_write_bytes: int
    macs: int
    vector_ops: int
    transcendental_ops: int
    shard: str
    fused: tuple[str, ...] = ()
    group_rows: tuple[int, ...] = ()
    sparsity: str = DENSE.pattern
    density: float = DENSE.density

    def __hash__(self) -> int:
        """Hash by what tells operators apart in practice; dims and inputs are mappings and stay out."""
        return hash((self.name, self.kind, self.macs, self.weight_bytes, self.output_bytes, self.kv_read_bytes))

    @property
    def resident_weight_bytes(self) -> int:
        """Bytes of parameters to be stored for this operator, read in this step or not."""
        return resident_weight_bytes(self.kind, self.dims, self.weight_dtype)

    @property
    def input_bytes(self) -> int:
        """Bytes read from all producers, without weights and KV cache."""
        return sum(self.inputs.values())
