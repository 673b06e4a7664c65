"""Sources: where a number was read, by a stable lower-case id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dieshot.simulator.errors import InputError, listed, nearest_name

SOURCE_KEYS = ("title", "address", "date", "edition", "trust")


@dataclass(frozen=True, slots=True)
class Source:
    """A document, data set or person's estimate that numbers are taken from.

    trust: how the copy behind the number was read, such as 'first hand', 'second hand', 'from memory', 'estimate'.
    """

    id: str
    title: str
    address: str | None = None
    date: str | None = None
    edition: str | None = None
    trust: str | None = None


def read_sources(data: object, file: str, key: str = "") -> dict[str, Source]:
    """Return the sources of a mapping id -> {title, address, date, edition, trust}; InputError where malformed."""
    if not isinstance(data, Mapping):
        raise InputError("not a mapping", file=file, key=key or None, expected="id: {title: ...}", value=data)
    return {id: _source(id, node, file, f"{key}.{id}" if key else id) for id, node in data.items()}


def _source(id: str, node: Any, file: str, key: str) -> Source:
    if id != id.lower():
        raise InputError("source id not in lower case", file=file, key=key, nearest=id.lower())
    if not isinstance(node, Mapping):
        raise InputError("not a mapping", file=file, key=key, expected="{title: ...}", value=node)
    for name, value in node.items():
        if name not in SOURCE_KEYS:
            nearest = nearest_name(name, SOURCE_KEYS)
            raise InputError(f"unknown key '{name}'", file=file, key=key, expected=listed(SOURCE_KEYS), nearest=nearest)
        if not isinstance(value, str) or not value:
            raise InputError(f"{name} is not text", file=file, key=key, expected="words, in quotes", value=value)
    if "title" not in node:
        raise InputError("title is missing", file=file, key=key, expected="a title")
    return Source(id, **node)


def source_node(source: Source) -> dict[str, str]:
    """Return a source as it is written in a document."""
    return {key: value for key in SOURCE_KEYS if (value := getattr(source, key)) is not None}
