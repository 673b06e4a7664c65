"""Reading JSON from strangers: bounded, strict, one line of complaint."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from dieshot.traces.error import TraceError, nearest_name, show

MAX_CONFIG_BYTES = 1 << 20
MAX_NESTING = 32


class _RefusedError(ValueError):
    """A JSON feature that is valid to the parser but refused here."""


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor; pipes, devices and folders are refused."""
    where = str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TraceError(where, "", f"cannot be read ({reason})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TraceError(where, "", "is not a regular file")
    return descriptor


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file of at most `max_bytes`; TraceError otherwise."""
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise TraceError(str(path), "", f"is larger than the {max_bytes} bytes allowed")
    return content


def parse_object(content: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in `content`; not UTF-8, NaN, duplicate keys or deep nesting are TraceErrors."""
    try:
        text = content.decode("utf-8")
        _check_nesting(text)
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise TraceError(where, "", f"is not UTF-8 (byte {error.start})") from None
    except _RefusedError as error:
        raise TraceError(where, "", str(error)) from None
    except json.JSONDecodeError as error:
        raise TraceError(where, "", f"is not JSON ({error.msg} at line {error.lineno}, column {error.colno})") from None
    except (ValueError, RecursionError):
        raise TraceError(where, "", "is not usable JSON (a number or a nesting is absurdly large)") from None
    if not isinstance(value, dict):
        raise TraceError(where, "", f"expected a JSON object, got {show(value)}")
    return value


def check_keys(
    record: Mapping[str, Any], keys: tuple[str, ...], where: str, prefix: str = "", optional: tuple[str, ...] = ()
) -> None:
    """Raise TraceError unless `record` has exactly the keys `keys`, and of the `optional` ones any."""
    known = (*keys, *optional)
    for key in record:
        if key not in known:
            problem = f"unknown key, expected {', '.join(known)}"
            raise TraceError(where, prefix + key, problem, nearest=nearest_name(key, known))
    for key in keys:
        if key not in record:
            raise TraceError(where, prefix + key, "missing key")


def integer(record: Mapping[str, Any], key: str, where: str, low: int, high: int) -> int:
    """Return the integer at `key`, within [low, high]; a bool or a float is not an integer."""
    value = record[key]
    if type(value) is not int or not low <= value <= high:
        raise TraceError(where, key, f"expected an integer from {low} to {high}, got {show(value)}")
    return value


def boolean(record: Mapping[str, Any], key: str, where: str) -> bool:
    """Return the bool at `key`."""
    value = record[key]
    if type(value) is not bool:
        raise TraceError(where, key, f"expected true or false, got {show(value)}")
    return value


def text(record: Mapping[str, Any], key: str, where: str, max_chars: int = 200) -> str:
    """Return the non-empty printable string at `key`."""
    value = record[key]
    if type(value) is not str or not 0 < len(value) <= max_chars or not value.isprintable():
        raise TraceError(where, key, f"expected a string of 1 to {max_chars} printable characters, got {show(value)}")
    return value


def _check_nesting(text: str) -> None:
    # Brackets inside strings count too: a bound, not a parse, and cheaper than one.
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return
    depth, in_string, escaped = 0, False, False
    for char in text:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise _RefusedError(f"is nested deeper than {MAX_NESTING} levels")
        elif char in "]}":
            depth -= 1


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedError(f"has the key {show(key)} twice")
            seen.add(key)
    return record


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError(f"has the number {name}, expected finite numbers")
