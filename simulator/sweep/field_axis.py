"""Fields of the request as a sweep document writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import find_path
from dieshot.simulator.params.catalog import KIND_NOUNS, CatalogKind
from dieshot.simulator.sweep.axis import FieldAxis
from dieshot.simulator.sweep.document import SweepDocument
from dieshot.simulator.sweep.field import FIELDS, Field, field_named
from dieshot.simulator.sweep.level import Levels, listed_levels
from dieshot.simulator.sweep.option import DRAWING
from dieshot.simulator.sweep.shape import EXAMPLE, Range, levels_of, read

PATH_ENDS = (".yaml", ".yml", ".json")
WHOLE = 1.0


class FieldReader:
    """Makes axes of fields; names are in the catalog, and paths start from the folder of the document."""

    def __init__(self, document: SweepDocument) -> None:
        self._document = document
        self._drawing = document.method in DRAWING

    def axis(self, key: str, node: Any) -> FieldAxis:
        """Return the axis of a field over what is written for it."""
        field = field_named(key)
        assert field is not None
        try:
            return FieldAxis(field.name, self._levels(field, node))
        except InputError as problem:
            inside = f"{key}.{problem.key}" if problem.key and isinstance(node, dict) else key
            self._document.refuse(problem, inside)

    def value(self, name: str, value: Any, key: str) -> Any:
        """Return a single value of a field, `key` the place where it is written."""
        try:
            return self._checked(FIELDS[name], value)
        except InputError as problem:
            self._document.refuse(problem, key)

    def placed(self, kind: CatalogKind, name: str) -> str:
        """Return a name of the catalog as it is, and a path absolute; InputError, without place, where it is none."""
        if "/" in name or name.endswith(PATH_ENDS):
            path = (self._document.folder / Path(name).expanduser()).resolve()
            if not path.is_file():
                raise InputError("no such file", expected=f"a {KIND_NOUNS[kind]}'s file or name", value=str(path))
            return str(path)
        find_path(kind, name)
        return name

    def _levels(self, field: Field, node: Any) -> Levels:
        if not isinstance(node, dict):
            values = node if isinstance(node, list) else [node]
            return listed_levels([self._checked(field, value) for value in values])
        if not field.is_number:
            raise InputError("a word has no range", expected="a name or a list of names")
        if "values" in node:
            raise InputError("a field has no unit", expected=EXAMPLE)
        range = read(Range, node)
        if range.unit is not None:
            raise InputError("a field has no unit", key="unit")
        field.checked(range.low)
        field.checked(range.high)
        return levels_of(range.low, range.high, range, self._drawing, WHOLE if field.is_whole else None)

    def _checked(self, field: Field, value: Any) -> Any:
        value = field.checked(value)
        return self.placed(field.catalog, value) if field.catalog else value
