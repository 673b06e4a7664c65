"""Which model carries the messages of a fabric: by what joins its chips."""

from __future__ import annotations

from dieshot.chips.parts.links.clique import FullyLinked
from dieshot.chips.parts.links.fabric import SwitchedFabric
from dieshot.chips.parts.links.torus import Torus
from dieshot.simulator.engine.fabric import Fabric, LocalCosts
from dieshot.simulator.params import LinkParameters


def choose_fabric(
    parameters: LinkParameters, local: LocalCosts, first_component: int, n_chips: int, stage: int = 1
) -> Fabric:
    """Return the fabric of a system of `n_chips` in stages of `stage` ranks; see Fabric.components for its lines."""
    if parameters.topology == "switch":
        return SwitchedFabric(parameters, local, first_component)
    linked = FullyLinked if parameters.topology == "full" else Torus
    return linked(parameters, local, first_component, n_chips, stage)
