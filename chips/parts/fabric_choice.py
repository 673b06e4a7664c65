"""Which model carries the messages of a fabric: by what joins its chips."""

from __future__ import annotations

from dieshot.chips.parts.clique import FullyLinked
from dieshot.chips.parts.fabric import SwitchedFabric
from dieshot.chips.parts.torus import Torus
from dieshot.simulator.engine.fabric import Fabric, LocalCosts
from dieshot.simulator.params import LinkParameters


def choose_fabric(parameters: LinkParameters, local: LocalCosts, first_component: int, n_chips: int) -> Fabric:
    """Return the fabric of a system of `n_chips`; its lines of the log begin at `first_component`."""
    if parameters.topology == "switch":
        return SwitchedFabric(parameters, local, first_component)
    if parameters.topology == "full":
        return FullyLinked(parameters, local, first_component, n_chips)
    return Torus(parameters, local, first_component, n_chips)
