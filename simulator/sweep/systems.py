"""The systems of a sweep, set up once each: whether there are the parameters that it varies, and in what unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LinkParameters, Override, Resolved, find_document, parse_override, resolve
from dieshot.simulator.params.catalog import CatalogKind
from dieshot.simulator.params.leaf import Leaf
from dieshot.simulator.params.override import FABRIC, apply_overrides
from dieshot.simulator.params.quantity import Quantity
from dieshot.simulator.params.schema import LeafSpec, PlainSpec
from dieshot.simulator.studies.setup import SystemSetup, set_up

FINE = 10**9  # base units of which any number of digits is taken as whole, see params.quantity.INTEGER_TOLERANCE
NAMED: dict[str, CatalogKind] = {"fabric": "links", "system.chip": "chips", "system.cost": "costs"}


class Systems:
    """All systems of a sweep, and the links that stand in for theirs (`fabrics`)."""

    def __init__(self, names: Iterable[str], fabrics: Iterable[str] = ()) -> None:
        self.setups: dict[str, SystemSetup] = {name: set_up(name) for name in names}
        self._fabrics: list[Resolved[Any]] = [resolve(find_document("links", name), LinkParameters) for name in fabrics]

    def check(self, overrides: Sequence[Override]) -> None:
        """Raise InputError where one of the systems could not have one of the values, whatever else it has."""
        for override in overrides:
            tried = override if override.action == "set" else parse_override(f"{override.target}.{override.path}=*1")
            for resolved in self._targets(override):
                apply_overrides(resolved.parameters.document, resolved.schema, [tried])

    def is_numeric(self, override: Override) -> bool:
        """Return whether a parameter is a number."""
        spec = self._spec(override)
        return isinstance(spec.quantity, Quantity) if isinstance(spec, LeafSpec) else spec.type is int

    def quantum(self, override: Override, unit: str) -> float | None:
        """Return the least that a parameter can differ by, in a unit; None where it can be any number.

        InputError where the unit does not fit.
        """
        spec = self._spec(override)
        if isinstance(spec, PlainSpec):
            return 1.0
        if not isinstance(spec.quantity, Quantity):
            raise InputError("words have no range", expected="a list of words")
        scale = spec.quantity.scale(unit or "1")
        return float(1 / scale) if spec.quantity.integer else None

    def factor_quantum(self, override: Override) -> float | None:
        """Return the least that a factor of a parameter can differ by, so that whole numbers stay whole; None for any.

        InputError where the systems' own values differ so that no factor but a few suits them all.
        """
        self.check([override])
        spec = self._spec(override)
        if not (isinstance(spec, LeafSpec) and isinstance(spec.quantity, Quantity) and spec.quantity.integer):
            return None
        found = [resolved.record(override.path) for resolved in self._targets(override)]
        own = {int(record.value) for record in found}
        least = min(own)
        if least == 0 or least >= FINE:
            return None
        if len(own) > 1:
            problem = f"the systems have different values, whole numbers of {found[0].unit.replace('1', 'ones')}"
            raise InputError(problem, expected="factors written out, or values with a unit")
        return 1 / least

    def own_range(self, override: Override) -> Leaf:
        """Return the leaf of a parameter that has a range, the same one in all systems; InputError otherwise."""
        self._spec(override)
        found = None
        for resolved in self._targets(override):
            parameter = resolved.parameters.leaves.get(override.path)
            leaf = parameter.leaf if parameter else None
            if leaf is None or leaf.range is None:
                name = resolved.parameters.document.file
                raise InputError(f"no range of its own in {name}", expected="{from: LOW, to: HIGH, unit: UNIT}")
            if found is not None and (leaf.range, leaf.unit) != (found.range, found.unit):
                raise InputError("the systems have different ranges", expected="{from: LOW, to: HIGH, unit: UNIT}")
            found = leaf
        assert found is not None
        return found

    def _spec(self, override: Override) -> LeafSpec | PlainSpec:
        resolved = next(iter(self._targets(override)))
        spec = resolved.parameters.specs.get(override.path)
        if spec is None:
            text = f"{override.target}.{override.path}=*1"
            apply_overrides(resolved.parameters.document, resolved.schema, [parse_override(text)])
            raise AssertionError("an unknown parameter is refused")
        return spec

    def _targets(self, override: Override) -> Iterator[Resolved[Any]]:
        fabrics = self._fabrics if override.target == FABRIC else []
        yield from fabrics
        for setup in self.setups.values():
            found = setup.resolved.get(override.target)
            if found is not None:
                yield found
            elif not fabrics:
                raise InputError(f"the system {setup.name} has no fabric")
