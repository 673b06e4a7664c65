"""Which links join a system's chips: its own, or others that stand in for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dieshot.simulator.engine.cell import ComponentSpec
from dieshot.simulator.errors import InputError, listed
from dieshot.simulator.params import Document, LinkParameters, Resolved, find_document, list_names, resolve

LASERS = "link_laser"
LASER_CYCLE_FS = 10**6  # a milliwatt is a whole number of fJ in it
FJ_PER_MW_CYCLE = LASER_CYCLE_FS // 1000
NONE = "none"  # what links replace where a system has none by itself
# What is the library's of a chip, fitted with its own links, and stays when others join it.
LIBRARY = ("read_window", "staging_buffer", "staging_setup")


def standing_in(fabric: Document, own: Document | None) -> Document:
    """Return links for a system that has others by itself: they say so; the library's part of its own stays."""
    name = fabric.label("name")
    before = NONE if own is None else own.data.get("replaces") or own.label("name")
    if name == before:
        return fabric
    data = dict(fabric.data) | {"replaces": before}
    if own is None:
        return replace(fabric, data=data)
    data = {key: node for key, node in data.items() if key not in LIBRARY}
    for key in LIBRARY:
        node = own.data.get(key)
        if isinstance(node, Mapping):
            data[key] = {**node, "note": f"as with {own.label('name')}: the library's"}
    return replace(fabric, data=data, sources=dict(own.sources) | dict(fabric.sources))


def laid(fabric: Document, n_chips: int) -> Document:
    """Return links as they are laid for so many chips, where that is free."""
    wiring = fabric.data.get("wiring")
    free = isinstance(wiring, Mapping) and wiring.get("value") == "free"
    return replace(fabric, data=dict(fabric.data) | {"laid_for": n_chips}) if free else fabric


def laser_lines(link: LinkParameters | None, parts_of_chip: int) -> list[ComponentSpec]:
    """Return the line of the log for the lasers of a chip's links, sending or not; none where there is no light.

    Of a chip in several parts each has its share.
    """
    if link is None or not link.laser_power:
        return []
    burnt_fj = FJ_PER_MW_CYCLE * link.laser_power // parts_of_chip
    return [ComponentSpec("link/laser", LASERS, LASER_CYCLE_FS, "byte", 0, burnt_fj, link.n_links)]


def refuse_unfit(link: Resolved[LinkParameters], system: str, n_chips: int) -> None:
    """Raise InputError where links cannot join the chips of a system: too many for them, or one only."""
    name, most = link.parameters.plains["name"], link.record("max_chips").value
    if n_chips == 1 and link.parameters.plains.get("replaces") is not None:
        expected = "a system with several chips"
        raise InputError(f"{system} is one chip", file="--set", key="fabric", value=name, expected=expected)
    if n_chips > int(most):
        problem = f"the links {name} join at most {most} chips, {system} has {n_chips}"
        raise InputError(problem, key="fabric", value=name, expected=listed(_wide_enough(n_chips)))


def _wide_enough(n_chips: int) -> list[str]:
    found = ((name, resolve(find_document("links", name), LinkParameters)) for name in list_names("links"))
    return [name for name, link in found if int(link.record("max_chips").value) >= n_chips]
