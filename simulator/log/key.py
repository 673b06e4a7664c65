"""The digest of a cell's key: the same for the same key in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum


def key_digest(key: object) -> str:
    """Return the SHA-256 (hex) of a key made of numbers, texts, enums, dataclasses and collections of them.

    Raises TypeError for anything else, whose text might differ from run to run.
    """
    return hashlib.sha256(_canonical(key).encode()).hexdigest()


def _canonical(part: object) -> str:
    if isinstance(part, Enum):
        return f"{type(part).__name__}.{part.name}"
    if part is None or isinstance(part, bool | int | float | str | bytes):
        return f"{type(part).__name__}:{part!r}"
    if is_dataclass(part) and not isinstance(part, type):
        inner = [f"{field.name}={_canonical(getattr(part, field.name))}" for field in fields(part)]
        return f"{type(part).__name__}({','.join(inner)})"
    if isinstance(part, Mapping):
        pairs = sorted((_canonical(name), _canonical(value)) for name, value in part.items())
        return f"{{{','.join(f'{name}={value}' for name, value in pairs)}}}"
    if isinstance(part, frozenset | set):
        return f"{{{','.join(sorted(map(_canonical, part)))}}}"
    if isinstance(part, tuple | list):
        return f"({','.join(map(_canonical, part))})"
    if hasattr(part, "item") and getattr(part, "shape", None) == ():
        return _canonical(part.item())
    raise TypeError(f"a cell's key cannot hold a {type(part).__name__}: its text may differ from run to run")
