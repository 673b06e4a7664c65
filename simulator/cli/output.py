"""What leaves a command: standard output, and the path of the file it writes."""

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

FILE_SUFFIXES = {".json", ".yaml", ".yml", ".trace", ".h5"}


@contextlib.contextmanager
def reserved_stdout() -> Iterator[None]:
    """Send whatever is printed inside to standard error, so that standard output holds the answer alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def print_json(record: Mapping[str, Any], compact: bool = False) -> None:
    """Print `record` as one JSON object. Arrays become lists; a number that JSON lacks (NaN, infinity) becomes null."""
    separators = (",", ":") if compact else None
    print(json.dumps(_plain(record), allow_nan=False, indent=None if compact else 2, separators=separators))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "tolist"):  # a numpy scalar or array
        return _plain(value.tolist())
    return str(value)


def short_name(name_or_path: str) -> str:
    """Return the name by which a model or system given by name or file appears in a file name."""
    path = Path(name_or_path)
    if path.name == "config.json" and path.resolve().parent.name:
        return path.resolve().parent.name
    name = path.name.removesuffix(".gz")
    return Path(name).stem if Path(name).suffix in FILE_SUFFIXES else name  # `qwen2.5-72b` has a dot and no suffix


def destination(output: Path | None, default_name: str, no_log: bool = False) -> Path | None:
    """Return the file to write, or None with `no_log`; refuse a place that cannot be written, before any work."""
    if no_log and output is not None:
        raise typer.BadParameter("--no-log and --output exclude each other")
    if no_log:
        return None
    path = Path(default_name) if output is None else output
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder, expected a file", param_hint="--output")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"folder {path.parent} does not exist", param_hint="--output")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise typer.BadParameter(f"{path} cannot be written", param_hint="--output")
    return path
