"""The catalog: documents that come with the package, found by name, and users' own, found by path."""

from __future__ import annotations

import functools
import importlib.resources
from pathlib import Path
from typing import Literal, get_args

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params.document import Document, load_document, parse_document, read_text
from dieshot.simulator.params.source import Source, read_sources
from dieshot.simulator.params.yaml_text import parse_yaml

CatalogKind = Literal["chips", "systems", "models", "links", "memories", "networks", "costs", "sweeps"]
KIND_NOUNS: dict[str, str] = {kind: kind.removesuffix("s") for kind in get_args(CatalogKind)} | {"memories": "memory"}
SUFFIXES = (".yaml", ".json")


@functools.cache
def configs_folder() -> Path:
    """Return the folder of the package's documents, in a checkout as in an installed wheel."""
    return Path(str(importlib.resources.files("dieshot"))) / "configs"


def list_names(kind: CatalogKind) -> list[str]:
    """Return the names in the catalog, sorted."""
    folder = configs_folder() / kind
    return sorted(path.stem for path in folder.glob("*") if path.suffix in SUFFIXES) if folder.is_dir() else []


def find_path(kind: CatalogKind, name_or_path: str) -> Path:
    """Return the file of a catalog name, or the path given; InputError listing what exists where there is none."""
    if _is_path(name_or_path):
        path = Path(name_or_path)
        if not path.is_file():
            raise InputError("no such file", file=name_or_path, expected=f"a {KIND_NOUNS[kind]}'s file or name")
        return path
    names = list_names(kind)
    if name_or_path not in names:
        nearest = nearest_name(name_or_path, names)
        raise InputError(f"unknown {KIND_NOUNS[kind]} '{name_or_path}'", expected=listed(names), nearest=nearest)
    folder = configs_folder() / kind
    return next(path for suffix in SUFFIXES if (path := folder / f"{name_or_path}{suffix}").is_file())


def _is_path(name_or_path: str) -> bool:
    return "/" in name_or_path or name_or_path.endswith((*SUFFIXES, ".yml"))


def find_document(kind: CatalogKind, name_or_path: str, beside: Document | None = None) -> Document:
    """Return a document of the catalog by its name, or any file by its path, merged over what it extends.

    A path is looked for first in the folder of the document that names it (`beside`), then in the current folder.
    """
    near = beside.folder / name_or_path if beside and beside.folder and _is_path(name_or_path) else None
    path = near if near and near.is_file() else find_path(kind, name_or_path)
    return load_document(path, path.stem, shown_path, functools.partial(find_path, kind), _included)


def _included(kind_and_name: str) -> Document:
    kind, _, name = kind_and_name.partition("/")
    for known in get_args(CatalogKind):
        if known == kind:
            return find_document(known, name)
    kinds = get_args(CatalogKind)
    raise InputError(f"unknown kind '{kind}'", expected=listed(kinds), nearest=nearest_name(kind, kinds))


def document_from_text(text: str, name: str) -> Document:
    """Return a document from its text alone, such as the canonical text in a result file."""
    document, extends = parse_document(text, name, name)
    if extends is not None:
        problem = InputError("extends needs a file", expected="a merged document", value=extends)
        raise document.error(problem, "extends")
    return document


def shown_path(path: Path) -> str:
    """Return a path as messages show it: from `configs/` for the package's own, else as given."""
    try:
        return str(Path("configs") / path.resolve().relative_to(configs_folder().resolve()))
    except ValueError:
        return str(path)


@functools.cache
def catalog_sources() -> dict[str, Source]:
    """Return the package's list of sources by id."""
    path = configs_folder() / "sources.yaml"
    file = shown_path(path)
    return read_sources(parse_yaml(read_text(path, file), file)[0], file)
