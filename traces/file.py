"""Writing the trace file: JSON lines, one operator a line.

Line 1 is the header; then come operators, blocks (lists of operator numbers) and steps (lists of block numbers),
each before its first use and numbered in order of appearance; the last line holds the totals and the number of
lines before it. Equal operators and blocks are written once. The text is canonical: equal traces, equal bytes.
Optional fields are left out where they say nothing (weights without zeros, a model with its head, a prompt in one).
"""

import gzip
import hashlib
import json
import os
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from dieshot.traces.error import TraceError
from dieshot.traces.operator import Operator
from dieshot.traces.sparsity import Sparsity, stated
from dieshot.traces.trace import Block, Trace

SCHEMA = "dieshot-trace"
VERSION = 1
HEADER_FIELDS = ("precision", "kv_precision", "batch", "prompt", "generate", "seed", "routing")
OPTIONAL_MODEL_FIELDS = ("headless", "state_size", "conv_kernel", "conv_bias", "time_step_rank")
ZEROS_FIELDS = ("sparsity", "density")
OPTIONAL_FIELDS = (*ZEROS_FIELDS, "chunk", "cached")
OPERATOR_FIELDS = tuple(field for field in Operator.__dataclass_fields__ if field not in ZEROS_FIELDS)


def trace_text(trace: Trace) -> str:
    """Return the canonical text of the trace."""
    return "".join(_lines(trace))


def write_trace(trace: Trace, path: str | Path) -> None:
    """Write the trace to `path`, gzip-compressed where it ends in `.gz`; an interrupted write leaves no file."""
    path = Path(path)
    try:
        _write_whole(trace, path)
    except OSError as error:
        raise TraceError(str(path), "", f"cannot be written ({error.strerror or error})") from None


def digest(trace: Trace) -> str:
    """Return the SHA-256 of the canonical text in hexadecimal."""
    sha = hashlib.sha256()
    for line in _lines(trace):
        sha.update(line.encode())
    return sha.hexdigest()


def operator_record(operator: Operator) -> dict[str, Any]:
    """Return the fields of an operator as JSON values."""
    record = {field: getattr(operator, field) for field in OPERATOR_FIELDS}
    record |= {"dims": dict(operator.dims), "inputs": dict(operator.inputs)}
    return record | stated(Sparsity(operator.sparsity, operator.density))


class _Numbering:
    """Numbers records in order of appearance; an equal record keeps its number."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._of_object: dict[int, int] = {}
        self._of_text: dict[str, int] = {}

    def known(self, item: object) -> int | None:
        """Return the number of this very object, if it has one."""
        return self._of_object.get(id(item))

    def number(self, item: object, record: dict[str, Any]) -> tuple[int, str | None]:
        """Return the number and, when the record is new, the line that defines it."""
        body = _json(record)
        new = body not in self._of_text
        number = self._of_text.setdefault(body, len(self._of_text))
        self._of_object[id(item)] = number
        return number, f'{{"{self._kind}":{number},{body[1:]}\n' if new else None


def _lines(trace: Trace) -> Iterator[str]:
    n_lines = 0
    for line in _body(trace):
        n_lines += 1
        yield line
    yield _json({"totals": dict(trace.totals), "lines": n_lines}) + "\n"


def _body(trace: Trace) -> Iterator[str]:
    model = {key: value for key, value in asdict(trace.model).items() if value or key not in OPTIONAL_MODEL_FIELDS}
    header = {"schema": SCHEMA, "version": VERSION, "model": model}
    header |= {field: getattr(trace, field) for field in HEADER_FIELDS}
    more = {"chunk": trace.chunk, "cached": trace.cached}
    more = {key: value for key, value in more.items() if value}
    yield _json(header | stated(Sparsity(trace.sparsity, trace.density)) | more) + "\n"
    operators, blocks = _Numbering("operator"), _Numbering("block")
    for step in trace.steps:
        numbers = []
        for block in step.blocks:
            number = blocks.known(block)
            if number is None:
                number = yield from _define_block(block, operators, blocks)
            numbers.append(number)
        record = {"step": step.index, "phase": step.phase, "batch": step.batch, "tokens": step.tokens}
        yield _json(record | {"kv_len": step.kv_len, "blocks": numbers}) + "\n"


def _define_block(block: Block, operators: _Numbering, blocks: _Numbering) -> Generator[str, None, int]:
    numbers = []
    for operator in block.operators:
        number = operators.known(operator)
        if number is None:
            number, line = operators.number(operator, operator_record(operator))
            if line:
                yield line
        numbers.append(number)
    number, line = blocks.number(block, {"name": block.name, "repeat": block.repeat, "operators": numbers})
    if line:
        yield line
    return number


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


def _write_whole(trace: Trace, path: Path) -> None:
    scratch = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        with scratch.open("wb") as file:
            if path.suffix == ".gz":
                # No name and no time in the gzip header: equal traces, equal files.
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
                    _write_lines(trace, packed)
            else:
                _write_lines(trace, file)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _write_lines(trace: Trace, file: BinaryIO | gzip.GzipFile) -> None:
    for line in _lines(trace):
        file.write(line.encode())
