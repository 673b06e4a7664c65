"""Documents: a YAML file read, merged over what it extends, and remembered with the place of every key."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.params.source import Source, read_sources
from dieshot.simulator.params.yaml_text import LARGEST_FILE_BYTES, is_leaf, parse_yaml

PARSED_KEPT = 256  # texts
LONGEST_CHAIN = 8  # documents extending one another
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
Place = tuple[str, int | None]


@dataclass(frozen=True)
class Document:
    """A document ready to be resolved: `data` is merged, without the `extends` and `sources` it was written with.

    name: as asked for. file: as shown in messages. places: dotted path -> (file, line). sources: those that the
    document itself declares. folder: where the file lies, or None for a document from text.
    """

    name: str
    file: str
    data: Mapping[str, Any]
    places: Mapping[str, Place] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    folder: Path | None = None

    def place(self, path: str) -> Place:
        """Return the file and line of a dotted path, or of the nearest part of the document above it."""
        while path:
            if path in self.places:
                return self.places[path]
            path = path.rpartition(".")[0]
        return self.file, None

    def error(self, problem: InputError, path: str) -> InputError:
        """Return a problem with its place: file, line and key of `path`."""
        file, line = self.place(path)
        return problem.located(file=file, line=line, key=path)

    def label(self, key: str) -> str:
        """Return a plain word at the top of the document, such as `architecture`; InputError where there is none."""
        word = self.data.get(key)
        if word is None:
            raise InputError("missing key", file=self.file, key=key, expected=f"{key}: a name")
        if not isinstance(word, str):
            raise self.error(InputError("not a name", expected="a name", value=word), key)
        return word


def read_text(path: Path, file: str) -> str:
    """Return a file's text; InputError where it is missing, too large or not UTF-8."""
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE_BYTES + 1)
    except OSError as failure:
        raise InputError(f"cannot be read: {failure.strerror or failure}", file=file) from None
    if len(content) > LARGEST_FILE_BYTES:
        raise InputError("file too large", file=file, expected="at most 1 MiB of YAML")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise InputError(f"not UTF-8 text (byte {failure.start})", file=file, expected="YAML in UTF-8") from None


def parse_document(text: str, name: str, file: str) -> tuple[Document, str | None]:
    """Return a single document and the name that it extends, if any."""
    parsed, lines = _parsed(text, file)
    data = dict(parsed)
    places: dict[str, Place] = {path: (file, line) for path, line in lines.items()}
    extends = data.pop("extends", None)
    if extends is not None and not (isinstance(extends, str) and NAME.fullmatch(extends)):
        problem = InputError("not a document's name", expected="the name of a document beside this one", value=extends)
        raise problem.located(file=file, key="extends", line=lines.get("extends"))
    try:
        sources = read_sources(data.pop("sources", {}), file, "sources")
    except InputError as problem:
        raise problem.located(line=lines.get(problem.key or "")) from None
    return Document(name, file, data, places, sources), extends


@functools.lru_cache(maxsize=PARSED_KEPT)
def _parsed(text: str, file: str) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """Return `parse_yaml` of a text, not to be changed: studies of many runs read the same few texts again."""
    return parse_yaml(text, file)


def load_document(
    path: Path,
    name: str,
    shown: Callable[[Path], str],
    find: Callable[[str], Path],
    include: Callable[[str], Document],
) -> Document:
    """Return a file's document merged over what it extends.

    `find` gives the path of a name that is not beside it, `include` the document that a section extends.
    """
    chain: list[Document] = []
    visited: list[Path] = []
    following: Path | None = path
    while following is not None:
        file = shown(following)
        if following.resolve() in visited:
            raise InputError("documents extend one another in a circle", file=shown(path), key="extends", value=name)
        if len(visited) >= LONGEST_CHAIN:
            raise InputError("too many documents extend one another", file=file, key="extends")
        visited.append(following.resolve())
        document, extends = parse_document(read_text(following, file), name, file)
        chain.append(_with_sections(document, include))
        following = _extended(following, extends, find)
    return _merged(chain, path.parent)


def _extended(path: Path, extends: str | None, find: Callable[[str], Path]) -> Path | None:
    if extends is None:
        return None
    beside = path.parent / f"{extends}.yaml"
    return beside if beside.is_file() else find(extends)


def _with_sections(document: Document, include: Callable[[str], Document]) -> Document:
    """Return a document whose sections stand merged over the documents that they extend (`extends: memories/hbm3`)."""
    data, places, sources = dict(document.data), dict(document.places), dict(document.sources)
    for path, section in _extending(document.data, ""):
        word = section["extends"]
        if not (isinstance(word, str) and word.count("/") == 1):
            problem = InputError("not a document", expected="its kind and name, as in memories/hbm3", value=word)
            raise document.error(problem, f"{path}.extends")
        try:
            below = include(word)
        except InputError as problem:
            raise document.error(problem, f"{path}.extends") from None
        own = {key: node for key, node in section.items() if key != "extends"}
        data = _replaced(data, path.split("."), merge(below.data, own))
        places = {f"{path}.{key}": place for key, place in below.places.items()} | places
        sources = dict(below.sources) | sources
    return Document(document.name, document.file, data, places, sources, document.folder)


def _extending(node: Mapping[str, Any], path: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = []
    for key, child in node.items():
        if _is_section(child):
            found += [(f"{path}{key}", child)] if "extends" in child else []
            found += _extending(child, f"{path}{key}.")
    return found


def _replaced(data: Mapping[str, Any], keys: list[str], node: Mapping[str, Any]) -> dict[str, Any]:
    first, *rest = keys
    return {**data, first: _replaced(data[first], rest, node) if rest else node}


def _merged(chain: list[Document], folder: Path) -> Document:
    first = chain[0]
    data: dict[str, Any] = {}
    places: dict[str, Place] = {}
    sources: dict[str, Source] = {}
    for document in reversed(chain):
        data = merge(data, document.data)
        places |= document.places
        sources |= document.sources
    return Document(first.name, first.file, data, places, sources, folder)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `above` laid over `below`: sections merge key by key, a leaf or a plain value is replaced whole."""
    merged = dict(below)
    for key, node in above.items():
        under: Any = merged.get(key)
        if _is_section(node) and _is_section(under):
            node = merge(under, node)
        merged[key] = node
    return merged


def _is_section(node: object) -> bool:
    return isinstance(node, Mapping) and not is_leaf(node)
