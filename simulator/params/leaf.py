"""A leaf of a document: a value that cannot exist without unit, kind and source."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, StrictFloat, StrictInt, StrictStr, ValidationError

from dieshot.simulator.errors import InputError, listed, nearest_name

Kind = Literal["published", "measured", "derived", "fitted", "assumed"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NEEDED_KEYS: dict[Kind, tuple[str, ...]] = {
    "published": ("source",),
    "measured": ("source",),
    "derived": (),
    "fitted": ("source", "data", "residual"),
    "assumed": ("why",),
}


class Leaf(BaseModel):
    """One value as written, with where it comes from.

    value: a number or words, for `derived` a formula. unit: as written. source: one id or several of the source list.
    at: the place in the source. why: the reason for an assumption. range: [low, high] in `unit`. data, residual: what
    a fitted value was fitted to and what remained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: StrictInt | StrictFloat | StrictStr
    unit: StrictStr | None = None
    kind: Kind
    source: StrictStr | list[StrictStr] | None = None
    at: StrictStr | None = None
    why: StrictStr | None = None
    range: tuple[StrictInt | StrictFloat, StrictInt | StrictFloat] | None = None
    data: StrictStr | None = None
    residual: StrictInt | StrictFloat | StrictStr | None = None
    note: StrictStr | None = None

    @property
    def source_ids(self) -> tuple[str, ...]:
        """The ids of the sources, in the order written."""
        if self.source is None:
            return ()
        return (self.source,) if isinstance(self.source, str) else tuple(self.source)


def read_leaf(node: object) -> Leaf:
    """Return a document's node as a leaf; InputError (without place) where it lacks what its kind needs."""
    if not isinstance(node, dict):
        raise InputError("a bare value", expected="a mapping with value, unit, kind", value=node)
    _check_keys(node)
    if node.get("unit") == 1:
        node = node | {"unit": "1"}
    try:
        leaf = Leaf.model_validate(node)
    except ValidationError as failure:
        raise _first_problem(failure, node) from None
    for key in NEEDED_KEYS[leaf.kind]:
        if getattr(leaf, key) in (None, "", []):
            raise InputError(f"{key} is missing", expected=f"{key}: a value of kind {leaf.kind} must have it")
    if leaf.kind == "derived" and not isinstance(leaf.value, str):
        raise InputError("digits where a formula is due", expected="a formula over other parameters", value=leaf.value)
    return leaf


def _check_keys(node: dict[str, Any]) -> None:
    for key in node:
        if key not in Leaf.model_fields:
            known = list(Leaf.model_fields)
            raise InputError(f"unknown key '{key}'", expected=listed(known), nearest=nearest_name(key, known))
    for key in ("value", "kind"):
        if node.get(key) is None:
            raise InputError(f"{key} is missing", expected="a mapping with value, unit, kind")
    if node["kind"] not in KINDS:
        nearest = nearest_name(str(node["kind"]), KINDS)
        raise InputError("unknown kind", expected=listed(KINDS), value=node["kind"], nearest=nearest)
    if isinstance(node["value"], bool):
        raise InputError("a truth value", expected="a number, or words in quotes", value=node["value"])


_EXPECTED = {
    "value": "a number or words",
    "unit": "a unit in words such as 'ns', or '1'",
    "source": "an id of the source list, or a list of ids",
    "range": "a list [low, high] of two numbers",
    "residual": "a number or words",
}


def _first_problem(failure: ValidationError, node: dict[str, Any]) -> InputError:
    key = str(failure.errors()[0]["loc"][0])
    return InputError(f"{key} is of the wrong type", expected=_EXPECTED.get(key, "words"), value=node[key])
