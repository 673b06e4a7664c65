"""What an operator of given dimensions reads, computes and writes: one function per kind.

The builders make operators from these counts, and the reader of trace files holds a file's counts against them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dieshot.traces.dtype import bytes_of

INDEX_BYTES = 4
# A routed row carries its expert index and its gate weight, 4 bytes each.
ROUTING_BYTES = 8

Dims = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Formats:
    """The number formats of one operator; weight and kv are None where it has no weights or cache."""

    data: str
    weight: str | None
    output: str
    kv: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Counts of one operator, in bytes and operations; fields as in Operator, `input_bytes` over all producers."""

    input_bytes: int
    output_bytes: int
    weight_bytes: int = 0
    kv_read_bytes: int = 0
    kv_write_bytes: int = 0
    macs: int = 0
    vector_ops: int = 0
    transcendental_ops: int = 0


def work_of(kind: str, dims: Dims, formats: Formats, group_rows: tuple[int, ...] = ()) -> Work:
    """Return the counts of an operator of `kind`; dims are those of KIND_DIMS, already checked."""
    if kind == "grouped_gemm":
        return _grouped_gemm(dims, formats, group_rows)
    return _WORK[kind](dims, formats)


def visible_keys(q_len: int, kv_len: int, causal: bool, window: int) -> int:
    """Return the number of (query, key) pairs that are scored: queries are the last `q_len` of `kv_len` positions.

    A causal query sees itself and what precedes it, at most `window` keys when window is not 0.
    """
    if not causal:
        return q_len * kv_len
    first, last = kv_len - q_len + 1, kv_len
    if not window or window >= last:
        return (first + last) * q_len // 2
    if window < first:
        return window * q_len
    # The queries up to position `window` still see all that precedes them.
    return (first + window) * (window - first + 1) // 2 + window * (last - window)


def keys_read(q_len: int, kv_len: int, window: int) -> int:
    """Return how many cached positions at least one of the queries sees."""
    return min(kv_len, q_len + window - 1) if window else kv_len


def resident_weight_bytes(kind: str, dims: Dims, weight_dtype: str | None) -> int:
    """Return the bytes of parameters that have to be stored for this operator, read in this step or not."""
    if weight_dtype is None:
        return 0
    if kind == "embedding":
        return bytes_of(dims["vocab"] * dims["hidden"], weight_dtype)
    if kind == "grouped_gemm":
        return dims["experts"] * bytes_of(dims["N"] * dims["K"], weight_dtype)
    formats = Formats(data=weight_dtype, weight=weight_dtype, output=weight_dtype, kv=weight_dtype)
    if kind == "gemm":
        formats = Formats(data=weight_dtype, weight=weight_dtype, output=bias_dtype(weight_dtype))
    return work_of(kind, dims, formats).weight_bytes


def bias_dtype(output_dtype: str) -> str:
    """Return the format that the bias of a GEMM is kept in: 16 bits, of the output's kind where that has 16."""
    return output_dtype if output_dtype in ("bf16", "fp16", "fp32") else "bf16"


def _weight(n_elements: int, formats: Formats) -> int:
    return bytes_of(n_elements, formats.weight) if formats.weight else 0


def _embedding(dims: Dims, formats: Formats) -> Work:
    tokens, hidden, tables = dims["tokens"], dims["hidden"], dims["tables"]
    # The mean share of a rank that holds a slice of the rows, rounded up.
    local_tokens = -(-tokens // dims["ranks"])
    return Work(
        input_bytes=tokens * INDEX_BYTES,
        output_bytes=bytes_of(tokens * hidden, formats.output),
        weight_bytes=_weight(local_tokens * tables * hidden, formats),
        vector_ops=(tables - 1 + dims.get("scaled", 0)) * tokens * hidden,
    )


def _norm(dims: Dims, formats: Formats) -> Work:
    n_elements = dims["tokens"] * dims["hidden"]
    residual_bytes = bytes_of(n_elements, formats.data)
    # RMSNorm: square, accumulate, scale, gain. LayerNorm also: accumulate the mean, take it off, add the shift.
    ops_per_element = 4 + 3 * dims["shift"] + dims["residual"]
    return Work(
        input_bytes=residual_bytes * (1 + dims["residual"]),
        output_bytes=bytes_of(n_elements, formats.output) + residual_bytes * dims["writes_residual"],
        weight_bytes=_weight(dims["hidden"] * (1 + dims["shift"]), formats),
        vector_ops=n_elements * ops_per_element,
        transcendental_ops=dims["tokens"],
    )


def _gemm(dims: Dims, formats: Formats) -> Work:
    M, N, K = dims["M"], dims["N"], dims["K"]
    bias_bytes = bytes_of(N * dims["bias"], bias_dtype(formats.output))
    return Work(
        input_bytes=bytes_of(M * K, formats.data),
        output_bytes=bytes_of(M * N, formats.output),
        weight_bytes=_weight(N * K, formats) + bias_bytes,
        macs=M * N * K,
        vector_ops=M * N * dims["bias"],
    )


def _grouped_gemm(dims: Dims, formats: Formats, group_rows: tuple[int, ...]) -> Work:
    M, N, K = dims["M"], dims["N"], dims["K"]
    n_active = sum(1 for rows in group_rows if rows)
    return Work(
        input_bytes=bytes_of(M * K, formats.data),
        output_bytes=bytes_of(M * N, formats.output),
        weight_bytes=n_active * _weight(N * K, formats),
        macs=M * N * K,
    )


def _rope_kv_append(dims: Dims, formats: Formats) -> Work:
    """Rotate queries and keys and append keys and values to the cache; the sine table is not counted."""
    tokens, head_dim, qk_norm = dims["tokens"], dims["head_dim"], dims["qk_norm"]
    n_rotated = tokens * (dims["heads"] + dims["kv_heads"])
    return Work(
        input_bytes=bytes_of(tokens * (dims["heads"] + 2 * dims["kv_heads"]) * head_dim, formats.data),
        output_bytes=bytes_of(tokens * dims["heads"] * head_dim, formats.output),
        weight_bytes=_weight(2 * head_dim * qk_norm, formats),
        kv_write_bytes=bytes_of(2 * tokens * dims["kv_heads"] * head_dim, formats.kv or formats.data),
        vector_ops=n_rotated * head_dim * (3 + 4 * qk_norm),
        transcendental_ops=n_rotated * qk_norm,
    )


def _attention(dims: Dims, formats: Formats) -> Work:
    """Score, softmax, weigh. With a cache, keys and values come from it; without (BERT) all three are inputs."""
    batch, q_len, kv_len, head_dim = dims["batch"], dims["q_len"], dims["kv_len"], dims["head_dim"]
    query = batch * q_len * dims["heads"] * head_dim
    n_scores = batch * dims["heads"] * visible_keys(q_len, kv_len, bool(dims["causal"]), dims["window"])
    kv = 2 * batch * keys_read(q_len, kv_len, dims["window"]) * dims["kv_heads"] * head_dim
    return Work(
        input_bytes=bytes_of(query if formats.kv else query + kv, formats.data),
        output_bytes=bytes_of(query, formats.output),
        kv_read_bytes=bytes_of(kv, formats.kv) if formats.kv else 0,
        macs=2 * n_scores * head_dim,
        # Per score: scale, maximum, difference, sum; per output: division by the sum.
        vector_ops=4 * n_scores + query,
        transcendental_ops=n_scores,
    )


def _activation(dims: Dims, formats: Formats) -> Work:
    """SiLU(gate) x up where gated, else GELU or tanh: one transcendental and about four operations an element."""
    n_elements = dims["tokens"] * dims["ffn"]
    return Work(
        input_bytes=bytes_of(n_elements * (1 + dims["gated"]), formats.data),
        output_bytes=bytes_of(n_elements, formats.output),
        vector_ops=4 * n_elements,
        transcendental_ops=n_elements,
    )


def _convolution(dims: Dims, formats: Formats) -> Work:
    """Weigh each channel's last inputs and pass the sum through SiLU; all but the newest input are kept as state."""
    sequences, channels, kernel = dims["batch"], dims["channels"], dims["kernel"]
    n_elements = sequences * dims["q_len"] * channels
    state_bytes = bytes_of(sequences * channels * (kernel - 1), formats.kv or formats.data)
    return Work(
        input_bytes=bytes_of(n_elements, formats.data),
        output_bytes=bytes_of(n_elements, formats.output),
        weight_bytes=_weight(channels * (kernel + dims["bias"]), formats),
        kv_read_bytes=state_bytes * dims["carried"],
        kv_write_bytes=state_bytes,
        vector_ops=n_elements * (2 * kernel + dims["bias"] + 4),
        transcendental_ops=n_elements,
    )


def _selective_scan(dims: Dims, formats: Formats) -> Work:
    """Step a state of each channel on token by token: h = exp(dt A) h + dt B x, y = C h + D x, dt through a softplus.

    Read: x and dt of every channel, B and C of every token; A and D are the parameters.
    """
    sequences, channels, state = dims["batch"], dims["channels"], dims["state"]
    tokens = sequences * dims["q_len"]
    state_bytes = bytes_of(sequences * channels * state, formats.kv or formats.data)
    return Work(
        input_bytes=2 * bytes_of(tokens * channels, formats.data) + bytes_of(2 * tokens * state, formats.data),
        output_bytes=bytes_of(tokens * channels, formats.output),
        weight_bytes=_weight(channels * (state + 1), formats),
        kv_read_bytes=state_bytes * dims["carried"],
        kv_write_bytes=state_bytes,
        # Per number of the state: dt A, dt x B (one product for the channel), product and sum, product and sum of y.
        vector_ops=tokens * channels * (6 * state + 4),
        transcendental_ops=tokens * channels * (state + 2),
    )


def _route(dims: Dims, formats: Formats) -> Work:
    """Softmax over the experts, top-k, and the copy of each token's row, narrowed, to its experts' queues."""
    tokens, experts, top_k, hidden = dims["tokens"], dims["experts"], dims["top_k"], dims["hidden"]
    rows = tokens * top_k
    return Work(
        input_bytes=bytes_of(tokens * experts, formats.data) + bytes_of(tokens * hidden, formats.data),
        output_bytes=bytes_of(rows * hidden, formats.output) + rows * ROUTING_BYTES,
        vector_ops=tokens * experts * (4 + top_k),
        transcendental_ops=tokens * experts,
    )


def _moe_combine(dims: Dims, formats: Formats) -> Work:
    rows = dims["tokens"] * dims["top_k"]
    return Work(
        input_bytes=bytes_of(rows * dims["hidden"], formats.data) + rows * ROUTING_BYTES,
        output_bytes=bytes_of(dims["tokens"] * dims["hidden"], formats.output),
        vector_ops=2 * rows * dims["hidden"],
    )


def _sample(dims: Dims, formats: Formats) -> Work:
    """Softmax over the vocabulary and one draw per sequence; the token index is 4 bytes."""
    n_logits = dims["tokens"] * dims["vocab"]
    return Work(
        input_bytes=bytes_of(n_logits, formats.data),
        output_bytes=bytes_of(dims["tokens"], formats.output),
        vector_ops=4 * n_logits,
        transcendental_ops=n_logits,
    )


def _all_reduce(dims: Dims, formats: Formats) -> Work:
    """Bytes at the rank's own memory; how many cross links, and who adds, is the fabric's algorithm."""
    n_bytes = bytes_of(dims["elements"], formats.data)
    return Work(input_bytes=n_bytes, output_bytes=n_bytes)


def _all_gather(dims: Dims, formats: Formats) -> Work:
    local = -(-dims["elements"] // dims["group"])
    return Work(input_bytes=bytes_of(local, formats.data), output_bytes=bytes_of(dims["elements"], formats.output))


_WORK: Mapping[str, Callable[[Dims, Formats], Work]] = {
    "embedding": _embedding,
    "norm": _norm,
    "gemm": _gemm,
    "rope_kv_append": _rope_kv_append,
    "attention": _attention,
    "activation": _activation,
    "convolution": _convolution,
    "selective_scan": _selective_scan,
    "route": _route,
    "moe_combine": _moe_combine,
    "sample": _sample,
    "all_reduce": _all_reduce,
    "all_gather": _all_gather,
    "send_recv": _all_reduce,
}
