"""From names to a machine: documents resolved, chip built, chips joined."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dieshot.simulator.engine.cell import ComponentSpec
from dieshot.simulator.engine.chip import Chip
from dieshot.simulator.engine.fabric import Fabric
from dieshot.simulator.engine.machine import Machine
from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.params import (
    CostParameters,
    Document,
    LinkParameters,
    Override,
    Resolved,
    SystemParameters,
    configs_folder,
    document_from_text,
    find_document,
    list_names,
    overrides_of,
    parse_overrides,
    resolve,
)
from dieshot.simulator.studies.joining import laid, laser_lines, refuse_unfit, standing_in
from dieshot.simulator.studies.refusing import refusing

DEFAULT_COSTS = "data-centre"


@dataclass(frozen=True)
class SystemSetup:
    """A system with its parameters resolved and its chip built; `fabric_parameters` None without a fabric.

    Once a model is placed on it, `chip` is what one stage gets of a chip, and `fabric` joins the chips.
    """

    name: str
    system: Resolved[SystemParameters]
    chip_parameters: Resolved[Any]
    fabric_parameters: Resolved[LinkParameters] | None
    chip: Chip[Any]
    cost: Resolved[CostParameters]
    fabric: Fabric | None = None
    stages_on_chip: int = 1

    @property
    def documents(self) -> dict[str, str]:
        """The resolved documents as texts that load again without any file."""
        texts = {"system": self.system.text, "chip": self.chip_parameters.text, "cost": self.cost.text}
        return texts | ({"fabric": self.fabric_parameters.text} if self.fabric_parameters else {})

    @property
    def resolved(self) -> dict[str, Resolved[Any]]:
        """The resolved documents by their prefix in overrides."""
        found: dict[str, Resolved[Any]] = {"system": self.system, "chip": self.chip_parameters, "cost": self.cost}
        return found | ({"fabric": self.fabric_parameters} if self.fabric_parameters else {})

    @property
    def replicas(self) -> int:
        """Equal shares of the chips with the whole model each."""
        return self.system.values.partition.data_parallel or 1

    @property
    def chips_per_replica(self) -> int:
        """Chips that have a model together; InputError where the replicas do not divide the system's."""
        n_chips = self.system.values.n_chips
        if n_chips % self.replicas:
            raise InputError("cannot be shared evenly", file=self.name, key="partition.data_parallel",
                             value=self.replicas, expected=f"a divisor of the {n_chips} chips")  # fmt: skip
        return n_chips // self.replicas

    @property
    def peaks(self) -> dict[str, float]:
        """Peak rates of one chip, see Chip.peaks, and where it tells none of its links of those, one way (B/s)."""
        link = self.fabric_parameters.values if self.fabric_parameters else None
        return ({"link": float(link.n_links * link.rate)} if link else {}) | dict(self.chip.peaks())

    def placed(self, group: int, stages_on_chip: int) -> SystemSetup:
        """Return the setup for stages of `group` ranks, several of which may share a chip; see Chip.divided."""
        chip = self.chip.divided(stages_on_chip)
        link = self.fabric_parameters.values if self.fabric_parameters else None
        fabric = None
        if link is not None and chip.collectives_inside:
            self._attach(chip, link, group)
        elif link is not None:
            module = importlib.import_module("dieshot.chips.parts.links.fabric_choice")
            n_chips = self.chips_per_replica
            fabric = module.choose_fabric(link, chip.local_costs, len(chip.components()), n_chips, group)
        return replace(self, chip=chip, fabric=fabric, stages_on_chip=stages_on_chip)

    def _attach(self, chip: Chip[Any], link: LinkParameters, group: int) -> None:
        with refusing(self.name, f"its chips cannot be joined by {link.name}"):
            chip.attach(link, group)

    @property
    def lasers(self) -> list[ComponentSpec]:
        """The line of the log for the lasers of a chip's links, if they have any."""
        link = self.fabric_parameters.values if self.fabric_parameters else None
        return laser_lines(link, self.stages_on_chip)

    def machine(self, group: int, micro_batches: int) -> Machine:
        """Return the machine level for stages of `group` ranks; of a setup that is placed."""
        host = self.system.values.host
        gap_fs = host.step_gap if host else 0
        return Machine(self.chip, self.fabric, group, gap_fs, micro_batches, self.stages_on_chip)


def set_up(system: str, sets: Sequence[str] = ()) -> SystemSetup:
    """Return the system of a catalog name or file, overrides applied; InputError where anything is wrong."""
    overrides = parse_overrides(sets)
    document = find_document("systems", system)
    resolved = resolve(document, SystemParameters, overrides_of(overrides, "system"))
    chip = find_document("chips", resolved.values.chip, beside=document)
    own, wanted = document.data.get("fabric"), resolved.values.fabric
    own_fabric = find_document("links", own, beside=document) if own else None
    fabric = own_fabric if wanted == own else _links(wanted, own_fabric, document)
    costs = find_document("costs", resolved.values.cost or DEFAULT_COSTS, beside=document)
    return _build(resolved, chip, fabric, costs, overrides)


def set_up_texts(texts: dict[str, str], name: str, sets: Sequence[str] = ()) -> SystemSetup:
    """Return the system of resolved documents as a run keeps them, with further overrides; errors show `name`."""
    overrides = parse_overrides(sets)
    for override in overrides_of(overrides, "system"):
        if override.path == "chip":
            raise override.refuse(f"{name} brings its own chip", expected="a system in place of its own")
    documents = {key: document_from_text(text, f"{name}:{key}") for key, text in texts.items()}
    resolved = resolve(documents["system"], SystemParameters, overrides_of(overrides, "system"))
    fabric, wanted = documents.get("fabric"), resolved.values.fabric
    if wanted != documents["system"].data.get("fabric"):
        fabric = _links(wanted, fabric, None)
    costs = documents["cost"] if "cost" in documents else find_document("costs", DEFAULT_COSTS)
    return _build(resolved, documents["chip"], fabric, costs, overrides)


def _links(name: str | None, own: Document | None, beside: Document | None) -> Document | None:
    """Return the links that were asked for in place of a system's own."""
    if name is None:
        return None
    try:
        return standing_in(find_document("links", name, beside), own)
    except InputError as problem:
        problem.nearest = problem.nearest or next((known for known in list_names("links") if name in known), None)
        raise problem.located(file="--set", key="fabric") from None


def _build(
    system: Resolved[SystemParameters],
    chip: Document,
    fabric: Document | None,
    costs: Document,
    overrides: Sequence[Override],
) -> SystemSetup:
    architecture = architecture_of(chip)
    chip_parameters = resolve(chip, architecture.Parameters, overrides_of(overrides, "chip"))
    fabric_overrides = overrides_of(overrides, "fabric")
    if fabric is None and fabric_overrides:
        raise fabric_overrides[0].refuse(f"the system {system.values.name} has no fabric")
    n_chips = system.values.n_chips // (system.values.partition.data_parallel or 1)
    fabric_parameters = resolve(laid(fabric, n_chips), LinkParameters, fabric_overrides) if fabric else None
    if fabric_parameters is not None:
        refuse_unfit(fabric_parameters, system.values.name, system.values.n_chips)
    with refusing(chip.file):
        built: Chip[Any] = architecture(chip_parameters.values)
    cost = resolve(costs, CostParameters, overrides_of(overrides, "cost"))
    return SystemSetup(system.values.name, system, chip_parameters, fabric_parameters, built, cost)


def architecture_of(chip: Document) -> Any:
    """Return the architecture class of a chip document, found by the name of its file."""
    name = chip.label("architecture")
    known = sorted(file.stem for file in (configs_folder().parent / "chips").glob("*.py") if file.stem != "__init__")
    if name not in known:
        raise InputError(
            "unknown architecture",
            file=chip.file,
            key="architecture",
            value=name,
            expected=f"one of {', '.join(known)}",
            nearest=nearest_name(str(name), known),
        )
    module = importlib.import_module(f"dieshot.chips.{name}")
    return getattr(module, "".join(part.capitalize() for part in str(name).split("_")))
