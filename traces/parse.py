"""Reading the trace file. It may come from a stranger: everything is checked, nothing is executed."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from dieshot.traces import document
from dieshot.traces.chain import Boundary, boundary_of, check_step
from dieshot.traces.error import TraceError, show
from dieshot.traces.file import HEADER_FIELDS, OPTIONAL_FIELDS, SCHEMA, VERSION
from dieshot.traces.header import Header, header_of
from dieshot.traces.operator import Operator
from dieshot.traces.record import choice, name_of, operator_of
from dieshot.traces.trace import TOTALS, Block, Step, Trace, n_prompt_steps, prompt_step

MAX_FILE_BYTES = 2 << 30
MAX_LINE_BYTES = 1 << 20
MAX_RECORDS = 1_000_000
MAX_REPEAT = 100_000
MAX_OPERATORS_PER_BLOCK = 10_000
MAX_BLOCKS_PER_STEP = 1_000

Record = dict[str, Any]


def read_trace(path: str | Path) -> Trace:
    """Read a trace file, plain or gzip; TraceError names file:line, key and what was expected."""
    path = Path(path)
    with os.fdopen(document.open_regular(path), "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                return _parse(_file_lines(io.BufferedReader(unpacked), str(path)), str(path))
        return _parse(_file_lines(file, str(path)), str(path))


def parse_trace(text: str, name: str = "trace") -> Trace:
    """Return the trace whose file content is `text`; `name` stands for the file in errors."""
    content = text.encode("utf-8", errors="surrogatepass")
    return _parse(_file_lines(io.BytesIO(content), name), name)


@dataclass(slots=True)
class _Reading:
    """What has been read so far: definitions by number, and which of them have been used."""

    header: Header
    operators: list[Operator] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    boundaries: list[Boundary] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    used_operators: set[int] = field(default_factory=set)
    used_blocks: set[int] = field(default_factory=set)


def _file_lines(file: BinaryIO | io.BufferedReader, name: str) -> Iterator[bytes]:
    """Yield the lines; too long a line, too long a file, a damaged gzip stream are TraceErrors."""
    n_bytes, n_lines = 0, 0
    while True:
        where = f"{name}:{n_lines + 1}"
        try:
            line = file.readline(MAX_LINE_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise TraceError(where, "", f"cannot be read ({show(str(error))})") from None
        if not line:
            return
        n_lines, n_bytes = n_lines + 1, n_bytes + len(line)
        if len(line) > MAX_LINE_BYTES:
            raise TraceError(where, "", f"line is longer than the {MAX_LINE_BYTES} bytes allowed")
        if n_bytes > MAX_FILE_BYTES:
            raise TraceError(where, "", f"file is larger than the {MAX_FILE_BYTES} bytes allowed")
        if not line.endswith(b"\n"):
            raise TraceError(where, "", "line does not end in a newline, the file is cut off")
        yield line


def _parse(lines: Iterator[bytes], name: str) -> Trace:
    first = next(lines, None)
    if first is None:
        raise TraceError(f"{name}:1", "", f"file is empty, expected the header of a {SCHEMA} file")
    reading = _Reading(_header(first, f"{name}:1"))
    for number, line in enumerate(lines, start=2):
        where = f"{name}:{number}"
        record = document.parse_object(line, where)
        if "totals" in record:
            trace = _finish(reading, record, number, where)
            if next(lines, None) is not None:
                raise TraceError(f"{name}:{number + 1}", "", "expected nothing after the totals")
            return trace
        _take(reading, record, where)
    raise TraceError(name, "totals", "missing last line, the file is cut off")


def _header(line: bytes, where: str) -> Header:
    record = document.parse_object(line, where)
    if record.get("schema") != SCHEMA:
        raise TraceError(where, "schema", f"expected {SCHEMA!r}, got {show(record.get('schema'))}")
    if type(record.get("version")) is not int or record["version"] != VERSION:
        raise TraceError(where, "version", f"expected {VERSION}, got {show(record.get('version'))}")
    document.check_keys(record, ("schema", "version", "model", *HEADER_FIELDS), where, optional=OPTIONAL_FIELDS)
    return header_of(record, where)


def _take(reading: _Reading, record: Record, where: str) -> None:
    if len(reading.operators) + len(reading.blocks) + len(reading.steps) >= MAX_RECORDS:
        raise TraceError(where, "", f"expected at most {MAX_RECORDS} operators, blocks and steps")
    if "operator" in record:
        _check_number(record, "operator", len(reading.operators), where)
        reading.operators.append(operator_of(record, where))
    elif "block" in record:
        _check_number(record, "block", len(reading.blocks), where)
        _take_block(reading, record, where)
    elif "step" in record:
        _check_number(record, "step", len(reading.steps), where)
        _take_step(reading, record, where)
    else:
        raise TraceError(where, "", "unknown kind of line, expected the key operator, block, step or totals")


def _check_number(record: Record, key: str, expected: int, where: str) -> None:
    if type(record[key]) is not int or record[key] != expected:
        raise TraceError(where, key, f"expected the next number, {expected}, got {show(record[key])}")


def _take_block(reading: _Reading, record: Record, where: str) -> None:
    document.check_keys(record, ("block", "name", "repeat", "operators"), where)
    repeat = document.integer(record, "repeat", where, 1, MAX_REPEAT)
    numbers = _numbers(record, "operators", len(reading.operators), MAX_OPERATORS_PER_BLOCK, where)
    operators = tuple(reading.operators[number] for number in numbers)
    block = Block(name_of(record, "name", where), repeat, operators)
    reading.boundaries.append(boundary_of(block, where))
    reading.blocks.append(block)
    reading.used_operators.update(numbers)


def _take_step(reading: _Reading, record: Record, where: str) -> None:
    document.check_keys(record, ("step", "phase", "batch", "tokens", "kv_len", "blocks"), where)
    index, header = len(reading.steps), reading.header
    n_decoded = index - n_prompt_steps(header.prompt, header.chunk)
    is_decode = n_decoded >= 0
    tokens, kv_len = prompt_step(header.prompt, header.chunk, index)
    if is_decode:
        tokens, kv_len = 1, header.prompt + n_decoded + 1
    kv_len += header.cached
    for key, expected in (("batch", header.batch), ("tokens", tokens), ("kv_len", kv_len)):
        if type(record[key]) is not int or record[key] != expected:
            raise TraceError(where, key, f"expected {expected} from the header, got {show(record[key])}")
    phase = choice(record, "phase", where, ("decode",) if is_decode else ("prefill",))
    numbers = _numbers(record, "blocks", len(reading.blocks), MAX_BLOCKS_PER_STEP, where)
    blocks = tuple(reading.blocks[number] for number in numbers)
    step = Step(index, phase, header.batch, tokens, kv_len, blocks)
    check_step(step, [reading.boundaries[number] for number in numbers], where)
    reading.steps.append(step)
    reading.used_blocks.update(numbers)


def _numbers(record: Record, key: str, n_defined: int, n_allowed: int, where: str) -> list[int]:
    values = record[key]
    if not isinstance(values, list) or not 0 < len(values) <= n_allowed:
        raise TraceError(where, key, f"expected a list of 1 to {n_allowed} numbers, got {show(values)}")
    for value in values:
        if type(value) is not int or not 0 <= value < n_defined:
            problem = f"expected numbers of earlier lines, below {n_defined}, got {show(value)}"
            raise TraceError(where, key, problem)
    return values


def _finish(reading: _Reading, record: Record, number: int, where: str) -> Trace:
    document.check_keys(record, ("totals", "lines"), where)
    n_prompt = n_prompt_steps(reading.header.prompt, reading.header.chunk)
    n_steps = n_prompt + max(reading.header.generate, 1) - 1
    if len(reading.steps) != n_steps:
        raise TraceError(where, "", f"expected {n_steps} steps from the header, got {len(reading.steps)}")
    if type(record["lines"]) is not int or record["lines"] != number - 1:
        raise TraceError(where, "lines", f"expected {number - 1} lines before this one, got {show(record['lines'])}")
    _check_all_used(len(reading.operators), reading.used_operators, "operator", where)
    _check_all_used(len(reading.blocks), reading.used_blocks, "block", where)
    trace = reading.header.trace(tuple(reading.steps))
    _check_totals(trace, record["totals"], where)
    return trace


def _check_all_used(n_defined: int, used: set[int], kind: str, where: str) -> None:
    if len(used) < n_defined:
        first = next(number for number in range(n_defined) if number not in used)
        raise TraceError(where, "", f"{kind} {first} is defined but never used")


def _check_totals(trace: Trace, totals: object, where: str) -> None:
    if not isinstance(totals, dict):
        raise TraceError(where, "totals", f"expected an object, got {show(totals)}")
    document.check_keys(totals, TOTALS, where, "totals.")
    for key, expected in trace.totals.items():
        if type(totals[key]) is not int or totals[key] != expected:
            raise TraceError(where, f"totals.{key}", f"expected {expected}, got {show(totals[key])}")
