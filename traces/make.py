"""Making an operator whose counts follow from its dimensions."""

from collections.abc import Mapping

from dieshot.traces.error import TraceError
from dieshot.traces.operator import MAX_COUNT, Operator
from dieshot.traces.sparsity import DENSE, Sparsity
from dieshot.traces.work import Formats, Work, work_of


def make_operator(
    name: str,
    kind: str,
    dims: Mapping[str, int],
    formats: Formats,
    inputs: Mapping[str, int] | str,
    *,
    shard: str = "replicate",
    fused: tuple[str, ...] = (),
    group_rows: tuple[int, ...] = (),
    sparsity: Sparsity = DENSE,
) -> Operator:
    """Return the operator with all counts filled in.

    inputs: producer -> bytes, or the name of the only producer, which then gives all that the operator reads.
    Raises TraceError when a count does not fit 64 bits.
    """
    work = work_of(kind, dims, formats, group_rows)
    _check_counts(name, work)
    return Operator(
        name=name,
        kind=kind,
        dims=dims,
        dtype=formats.data,
        weight_dtype=formats.weight,
        output_dtype=formats.output,
        kv_dtype=formats.kv,
        inputs={inputs: work.input_bytes} if isinstance(inputs, str) else inputs,
        weight_bytes=work.weight_bytes,
        output_bytes=work.output_bytes,
        kv_read_bytes=work.kv_read_bytes,
        kv_write_bytes=work.kv_write_bytes,
        macs=work.macs,
        vector_ops=work.vector_ops,
        transcendental_ops=work.transcendental_ops,
        shard=shard,
        fused=fused,
        group_rows=group_rows,
        sparsity=sparsity.pattern,
        density=sparsity.density,
    )


def _check_counts(name: str, work: Work) -> None:
    largest = max(work.macs, work.vector_ops, work.input_bytes, work.output_bytes, work.kv_read_bytes)
    if largest > MAX_COUNT:
        raise TraceError("operator", name, f"a count of {largest} does not fit 64 bits, expected a smaller batch")
