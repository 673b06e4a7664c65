"""Checking one operator of a trace file: keys, types, ranges, and every count against the dimensions."""

import re
from collections.abc import Mapping
from typing import Any

from dieshot.traces import document
from dieshot.traces.dtype import DTYPE_BITS
from dieshot.traces.error import TraceError, show, unknown
from dieshot.traces.file import OPERATOR_FIELDS, ZEROS_FIELDS
from dieshot.traces.operator import (
    FLAGS,
    KIND_DIMS,
    KINDS,
    MAX_COUNT,
    MAY_BE_ZERO,
    OPTIONAL_DIMS,
    PREVIOUS,
    RESIDUAL,
    SHARDS,
    Operator,
)
from dieshot.traces.sparsity import DENSE, Sparsity, sparsity_of
from dieshot.traces.work import Formats, Work, work_of

MAX_DIM = 1 << 40
MAX_INPUTS = 64
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_WEIGHTED = ("embedding", "norm", "gemm", "grouped_gemm", "convolution", "selective_scan")
_STATEFUL = ("rope_kv_append", "convolution", "selective_scan")
_SPARSE = ("gemm", "grouped_gemm")
_COUNTS = tuple(field for field in Work.__dataclass_fields__ if field != "input_bytes")

Record = Mapping[str, Any]


def operator_of(record: Record, where: str) -> Operator:
    """Return the operator of one parsed line; TraceError names the key that is wrong and what it should be."""
    document.check_keys(record, ("operator", *OPERATOR_FIELDS), where, optional=ZEROS_FIELDS)
    kind = choice(record, "kind", where, KINDS)
    dims = _dims(record["dims"], kind, where)
    formats = _formats(record, kind, dims, where)
    group_rows = _group_rows(record["group_rows"], kind, dims, where)
    inputs = _inputs(record["inputs"], where)
    sparsity = _sparsity(record, kind, where)
    _check_counts(record, inputs, work_of(kind, dims, formats, group_rows), where)
    return Operator(
        name=name_of(record, "name", where),
        kind=kind,
        dims=dims,
        dtype=formats.data,
        weight_dtype=formats.weight,
        output_dtype=formats.output,
        kv_dtype=formats.kv,
        inputs=inputs,
        **{key: record[key] for key in _COUNTS},
        shard=choice(record, "shard", where, SHARDS),
        fused=_fused(record["fused"], where),
        group_rows=group_rows,
        sparsity=sparsity.pattern,
        density=sparsity.density,
    )


def name_of(record: Record, key: str, where: str) -> str:
    """Return the name at `key`: 1 to 100 letters, digits, '_', '.', '-'."""
    value = record[key]
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise TraceError(where, key, f"expected a name of letters, digits, '_', '.', '-', got {show(value)}")
    return value


def choice(record: Record, key: str, where: str, known: tuple[str, ...]) -> str:
    """Return the string at `key`, one of `known`."""
    value = record[key]
    if not isinstance(value, str) or value not in known:
        raise unknown(where, key, value, known)
    return value


def _dims(record: object, kind: str, where: str) -> dict[str, int]:
    if not isinstance(record, dict):
        raise TraceError(where, "dims", f"expected an object, got {show(record)}")
    optional = OPTIONAL_DIMS.get(kind, ())
    document.check_keys(record, KIND_DIMS[kind], where, "dims.", optional)
    dims = {}
    for key in (*KIND_DIMS[kind], *(key for key in optional if key in record)):
        low, high = int(key not in MAY_BE_ZERO), 1 if key in FLAGS else MAX_DIM
        if type(record[key]) is not int or not low <= record[key] <= high:
            problem = f"expected an integer from {low} to {high}, got {show(record[key])}"
            raise TraceError(where, f"dims.{key}", problem)
        if record[key] or key not in optional:
            dims[key] = record[key]
    _check_dims(dims, kind, where)
    return dims


def _check_dims(dims: Mapping[str, int], kind: str, where: str) -> None:
    if kind == "attention" and dims["q_len"] > dims["kv_len"]:
        raise TraceError(where, "dims.q_len", f"{dims['q_len']} is above kv_len {dims['kv_len']}")
    if kind == "attention" and dims["window"] and not dims["causal"]:
        raise TraceError(where, "dims.window", "expected 0 where attention is not causal")
    if "kv_heads" in dims and dims["heads"] % dims["kv_heads"]:
        raise TraceError(where, "dims.kv_heads", f"{dims['kv_heads']} does not divide heads {dims['heads']}")
    if kind == "route" and dims["top_k"] > dims["experts"]:
        raise TraceError(where, "dims.top_k", f"{dims['top_k']} is above experts {dims['experts']}")


def _formats(record: Record, kind: str, dims: Mapping[str, int], where: str) -> Formats:
    known = tuple(DTYPE_BITS)
    weighted = kind in _WEIGHTED or bool(dims.get("qk_norm"))
    kv = record["kv_dtype"] is not None if kind == "attention" else kind in _STATEFUL
    for key, present in (("weight_dtype", weighted), ("kv_dtype", kv)):
        if not present and record[key] is not None:
            raise TraceError(where, key, f"expected null for this {kind}, got {show(record[key])}")
    return Formats(
        data=choice(record, "dtype", where, known),
        weight=choice(record, "weight_dtype", where, known) if weighted else None,
        output=choice(record, "output_dtype", where, known),
        kv=choice(record, "kv_dtype", where, known) if kv else None,
    )


def _sparsity(record: Record, kind: str, where: str) -> Sparsity:
    sparsity = sparsity_of(record.get("sparsity", DENSE.pattern), record.get("density"), where)
    if sparsity != DENSE and kind not in _SPARSE:
        raise TraceError(where, "sparsity", f"expected 'dense' for this {kind}, got {show(sparsity.pattern)}")
    return sparsity


def _group_rows(value: object, kind: str, dims: Mapping[str, int], where: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TraceError(where, "group_rows", f"expected a list, got {show(value)}")
    n_groups = dims["experts"] if kind == "grouped_gemm" else 0
    if len(value) != n_groups:
        raise TraceError(where, "group_rows", f"expected {n_groups} entries, got {len(value)}")
    for rows in value:
        if type(rows) is not int or not 0 <= rows <= MAX_DIM:
            raise TraceError(where, "group_rows", f"expected integers from 0 to {MAX_DIM}, got {show(rows)}")
    if n_groups and sum(value) != dims["M"]:
        raise TraceError(where, "group_rows", f"expected a sum of M = {dims['M']}, got {sum(value)}")
    return tuple(value)


def _inputs(value: object, where: str) -> dict[str, int]:
    if not isinstance(value, dict) or not 0 < len(value) <= MAX_INPUTS:
        raise TraceError(where, "inputs", f"expected an object of 1 to {MAX_INPUTS} producers, got {show(value)}")
    for producer, n_bytes in value.items():
        if producer not in (PREVIOUS, RESIDUAL) and not _NAME.fullmatch(producer):
            problem = f"{show(producer)} is not a producer, expected an operator name, {PREVIOUS} or {RESIDUAL}"
            raise TraceError(where, "inputs", problem)
        if type(n_bytes) is not int or not 0 <= n_bytes <= MAX_COUNT:
            problem = f"expected bytes from 0 to {MAX_COUNT}, got {show(n_bytes)}"
            raise TraceError(where, f"inputs.{producer}", problem)
    return value


def _fused(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_INPUTS:
        raise TraceError(where, "fused", f"expected a list of at most {MAX_INPUTS} names, got {show(value)}")
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise TraceError(where, "fused", f"expected names of letters, digits, '_', '.', '-', got {show(name)}")
    return tuple(value)


def _check_counts(record: Record, inputs: Mapping[str, int], work: Work, where: str) -> None:
    for key in _COUNTS:
        value, expected = record[key], getattr(work, key)
        if type(value) is not int or value != expected or value > MAX_COUNT:
            raise TraceError(where, key, f"expected {show(expected)} from the dimensions, got {show(value)}")
    total = sum(inputs.values())
    if total != work.input_bytes:
        raise TraceError(where, "inputs", f"expected {show(work.input_bytes)} bytes in all, got {show(total)}")
