"""Link documents: what joins the chips of a system."""

from __future__ import annotations

from typing import Literal

from dieshot.simulator.params.quantity import (
    ByteRate,
    Choice,
    Count,
    FemtojoulesPerBit,
    Femtoseconds,
    Ratio,
    Text,
)
from dieshot.simulator.params.schema import Schema


class LinkParameters(Schema):
    """A fabric of like links, seen from one chip.

    n_links: links of one chip. rate: one link, one direction. hop_latency: chip to chip, one way, switch included,
    without serialisation. protocol_efficiency: payload bytes per byte on the wire. max_chips: chips that it can join.
    in_switch_reduction: whether switches add up what chips send; in_switch_efficiency: payload per byte on the wire
    then. energy: per bit moved from chip to chip.
    """

    name: str
    technology: Text
    topology: Choice[Literal["switch", "ring", "mesh", "torus"]]
    n_links: Count
    rate: ByteRate
    hop_latency: Femtoseconds
    protocol_efficiency: Ratio
    max_chips: Count
    in_switch_reduction: Choice[Literal["supported", "absent"]]
    in_switch_efficiency: Ratio | None = None
    energy: FemtojoulesPerBit
