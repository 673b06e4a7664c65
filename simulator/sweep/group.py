"""Values that go together: a list of points, or of the values of several fields and parameters at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.axis import GroupAxis, Setting, Written, column_of
from dieshot.simulator.sweep.document import SET, SweepDocument
from dieshot.simulator.sweep.field import FIELDS, SHORT_NAMES, field_named
from dieshot.simulator.sweep.field_axis import FieldReader
from dieshot.simulator.sweep.level import Listed
from dieshot.simulator.sweep.parameter_axis import ParameterReader, asked

Entry = Mapping[str, Any]
EXPECTED = "a list of mappings such as {tp: 8, pp: 1}"


class Group(NamedTuple):
    """Entries with the fields that each gives, and the paths that each sets; `place` is where they are written."""

    place: str
    fields: list[dict[str, Any]]
    sets: list[Entry]

    @property
    def field_names(self) -> list[str]:
        """All fields of all entries, in the order of their first appearance."""
        return list(dict.fromkeys(name for entry in self.fields for name in entry))

    @property
    def paths(self) -> list[str]:
        """All paths of all entries, in the order of their first appearance."""
        return list(dict.fromkeys(path for entry in self.sets for path in entry))


def groups_of(document: SweepDocument, key: str, fields: FieldReader) -> Iterator[Group]:
    """Yield what stands under `points` or `together`: one list of entries, or several such lists."""
    node = document.axes[key]
    if not isinstance(node, list) or not node:
        document.refuse(InputError("no values", expected=EXPECTED), key)
    several = all(isinstance(each, list) for each in node)
    for index, entries in enumerate(node if several else [node]):
        place = f"{key}[{index}]" if several else key
        if not entries:
            document.refuse(InputError("no values", expected=EXPECTED), place)
        group = Group(place, [], [])
        for at, entry in enumerate(entries):
            _add(group, document, entry, f"{place}[{at}]", fields)
        yield group


def _add(group: Group, document: SweepDocument, entry: Any, place: str, fields: FieldReader) -> None:
    if not isinstance(entry, dict) or not entry:
        document.refuse(InputError("not a point", expected="a mapping such as {tp: 8, pp: 1}", value=entry), place)
    found: dict[str, Any] = {}
    for key, value in entry.items():
        field = field_named(key)
        if field is not None:
            found[field.name] = fields.value(field.name, value, f"{place}.{key}")
        elif key != SET:
            known = [*FIELDS, *SHORT_NAMES, SET]
            problem = InputError("unknown key", expected=listed(known, 20), nearest=nearest_name(key, known))
            document.refuse(problem, f"{place}.{key}")
    sets = entry.get(SET, {})
    if not isinstance(sets, dict):
        document.refuse(InputError("not a mapping", expected="PATH: VALUE", value=sets), f"{place}.{SET}")
    group.fields.append(found)
    group.sets.append(sets)


def group_axis(document: SweepDocument, group: Group, parameters: ParameterReader) -> GroupAxis:
    """Return a group as an axis; what an entry leaves out is as in a run that leaves it out."""
    fields = {name: [entry.get(name, _default(name)) for entry in group.fields] for name in group.field_names}
    sets: dict[str, list[Written]] = {}
    units: dict[str, str] = {}
    for path in group.paths:
        first = next(index for index, entry in enumerate(group.sets) if path in entry)
        key = f"{group.place}[{first}].{SET}.{path}"
        override = asked(document, key, path)
        try:
            written, unit = parameters.written(override, [entry.get(path) for entry in group.sets])
        except InputError as problem:
            document.refuse(problem, key)
        sets[column_of(override)] = written
        units |= {column_of(override): unit} if unit else {}
    settings = tuple(_setting(fields, sets, index) for index in range(len(group.fields)))
    axis = GroupAxis((*fields, *sets), units, Listed(settings))
    try:
        parameters.check(axis)
    except InputError as problem:
        document.refuse(problem, group.place)
    return axis


def _setting(fields: Mapping[str, list[Any]], sets: Mapping[str, list[Written]], index: int) -> Setting:
    pairs = tuple((name, values[index]) for name, values in fields.items())
    written = {column: values[index] for column, values in sets.items()}
    texts = tuple(f"{column}={each.text}" for column, each in written.items() if each.text is not None)
    return Setting(pairs, texts, (*pairs, *((column, each.value) for column, each in written.items())))


def _default(name: str) -> Any:
    return PointRequest.__dataclass_fields__[name].default
