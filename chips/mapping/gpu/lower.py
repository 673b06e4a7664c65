"""From an operator to the kernels that could carry it out, and the key of everything that decides their outcome."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from dieshot.chips.mapping.attention_dims import attention_dims
from dieshot.chips.mapping.gpu import attention, gemm, gemm_tiling, stream
from dieshot.chips.mapping.gpu.machine import DTYPE_BYTES, GpuMachine
from dieshot.chips.mapping.gpu.weights import WeightLayout
from dieshot.chips.parts.gpu.tile_kernel import TileKernel
from dieshot.traces.operator import Operator

Choice = Sequence[TileKernel]
SKIPPED = "2:4"  # the zeros that a matrix unit can leave out; others it multiplies


def region_key(operator: Operator, resident_bytes: int) -> Hashable:
    """Return what tells operators apart on a chip: dimensions, formats and what is already in the L2.

    Decode attention reads whole pages of the cache, so its key holds the pages and not the tokens.
    """
    dims = dict(operator.dims)
    if operator.kind == "attention":
        shape = attention_shape(operator, 0)
        if shape.is_decode:
            dims["kv_len"] = attention.kv_pages(shape)
    traffic = (operator.input_bytes, operator.weight_bytes, operator.output_bytes)
    formats: tuple[str | None, ...] = (operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
    if operator.sparsity == SKIPPED:
        formats = (*formats, SKIPPED)
    return (operator.kind, tuple(dims.items()), formats, traffic, operator.group_rows, resident_bytes)


def work_key(operator: Operator) -> Hashable:
    """Return what tells operators of different models apart beside `region_key`: the work that no dimension tells."""
    if operator.kind in _CHOICES:
        return ()
    return (operator.vector_ops, operator.transcendental_ops, operator.kv_read_bytes, operator.kv_write_bytes)


def weight_layout(machine: GpuMachine, operator: Operator) -> WeightLayout:
    """Return how the weights of a GEMM are stored: compressed where the matrix unit skips their zeros."""
    skips = operator.sparsity == SKIPPED and machine.sparse_gain > 1
    index_bits = machine.sparse_index_bits if skips else 0
    return WeightLayout(operator.weight_dtype or operator.dtype, operator.dtype, index_bits)


def skipped_weight_bytes(machine: GpuMachine, operator: Operator, n_experts: int | None = None) -> int:
    """Return by how much compression makes an operator's weights smaller, of `n_experts` or of those with rows."""
    layout = weight_layout(machine, operator)
    if not layout.sparse:
        return 0
    if n_experts is None:
        n_experts = sum(rows > 0 for rows in operator.group_rows) or 1
    k = operator.dims["K"]
    return n_experts * operator.dims["N"] * (replace(layout, index_bits=0).row_bytes(k) - layout.row_bytes(k))


def kernel_choices(machine: GpuMachine, operator: Operator, resident_bytes: int) -> list[Choice]:
    """Return the alternatives that a library would weigh; each is a sequence of kernels."""
    special = _CHOICES.get(operator.kind)
    if special is not None:
        return special(machine, operator, resident_bytes)
    return [[stream.build(machine, _stream_shape(machine, operator, resident_bytes))]]


def _gemm(machine: GpuMachine, operator: Operator, resident_bytes: int) -> list[Choice]:
    dims = operator.dims
    shape = gemm_tiling.GemmShape(
        group_rows=operator.group_rows or (dims["M"],),
        n=dims["N"],
        k=dims["K"],
        dtype=operator.dtype,
        weights=weight_layout(machine, operator),
        output_bytes_per_element=DTYPE_BYTES[operator.output_dtype],
        resident_x_bytes=resident_bytes,
    )
    return [gemm_kernels(machine, shape, tiling) for tiling in gemm_tiling.candidates(machine, shape)]


def gemm_kernels(machine: GpuMachine, shape: gemm_tiling.GemmShape, tiling: gemm_tiling.GemmTiling) -> Choice:
    """Return the kernels of a tiling: of the parts of K, and what adds them up where there are several."""
    main = gemm.build(machine, shape, tiling)
    if tiling.split == 1:
        return [main]
    outputs = shape.m * shape.n
    partial_bytes = tiling.split * outputs * gemm_tiling.PARTIAL_BYTES
    output_bytes = outputs * shape.output_bytes_per_element
    reduce = stream.StreamShape(
        name=f"reduce {tiling.split} splits",
        kind="gemm",
        read_bytes=partial_bytes,
        write_bytes=output_bytes,
        ops=int(outputs * tiling.split * machine.elementwise_ops_factor),
        transcendental_ops=0,
        n_ctas=stream.chunks(partial_bytes, output_bytes),
        resident_bytes=partial_bytes,
    )
    return [main, stream.build(machine, reduce)]


def attention_shape(operator: Operator, resident_bytes: int) -> attention.AttentionShape:
    """Return the shape of an attention operator; what is resident counts for the queries first."""
    dims = operator.dims
    q_bytes = dims["batch"] * dims["q_len"] * dims["heads"] * dims["head_dim"] * DTYPE_BYTES[operator.dtype]
    return attention.AttentionShape(
        **attention_dims(operator),
        resident_q_bytes=min(resident_bytes, q_bytes),
        resident_kv_bytes=max(0, resident_bytes - q_bytes),
    )


def _attention(machine: GpuMachine, operator: Operator, resident_bytes: int) -> list[Choice]:
    shape = attention_shape(operator, resident_bytes)
    if not shape.is_decode:
        return [[attention.offsets_kernel(machine, shape), attention.prefill_kernel(machine, shape)]]
    return [attention.decode_kernels(machine, shape, parts) for parts in attention.decode_splits(machine, shape)]


def _stream_shape(machine: GpuMachine, operator: Operator, resident_bytes: int) -> stream.StreamShape:
    read_bytes = operator.input_bytes + operator.weight_bytes + operator.kv_read_bytes
    write_bytes = operator.output_bytes + operator.kv_write_bytes
    n_ctas = operator.dims["tokens"] if operator.kind in ("norm", "route") else stream.chunks(read_bytes, write_bytes)
    ops = operator.vector_ops * machine.elementwise_ops_factor
    if operator.kind == "rope_kv_append":
        dims = operator.dims
        # A block of threads a token and query head; those of a group's first head take its keys and values along.
        ops = dims["tokens"] * dims["heads"] * dims["head_dim"] * machine.rope_ops_per_element
        n_ctas = max(n_ctas, dims["tokens"] * dims["kv_heads"])
    return stream.StreamShape(
        name=f"{operator.kind} " + "x".join(str(value) for value in operator.dims.values()),
        kind=operator.kind,
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        ops=int(ops),
        transcendental_ops=operator.transcendental_ops,
        n_ctas=n_ctas,
        resident_bytes=resident_bytes,
    )


_CHOICES: dict[str, Callable[[GpuMachine, Operator, int], list[Choice]]] = {
    "gemm": _gemm,
    "grouped_gemm": _gemm,
    "attention": _attention,
}
