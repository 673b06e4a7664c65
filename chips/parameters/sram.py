"""Schema of configs/memories/sram.yaml: what an access to an SRAM bank costs, by capacity and node."""

from __future__ import annotations

import math

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params import Bytes, Factor, Femtojoules, Schema

TABLE_BYTES = 8  # of the accesses in the published tables


class AccessEnergy(Schema):
    """Energy of one 64-bit access to a bank of each of the three capacities."""

    small: Femtojoules
    middle: Femtojoules
    large: Femtojoules


class SramParameters(Schema):
    """Access energies by node, and the capacities that they are for."""

    name: str
    capacity_small: Bytes
    capacity_middle: Bytes
    capacity_large: Bytes
    n5_per_n7: Factor
    n3_per_n7: Factor
    nodes: dict[str, AccessEnergy]


def access_energy_fj(sram: SramParameters, node: str, bank_bytes: int, access_bytes: int) -> int:
    """Return the energy in fJ of an access of `access_bytes` to a bank of `bank_bytes`.

    Interpolated between the tabled capacities, straight in both logarithms; a smaller bank costs what the smallest
    does. InputError for an unknown node, or a bank beyond the largest: that is built of several.
    """
    if node not in sram.nodes:
        raise InputError(
            "unknown node", value=node, expected=listed(sram.nodes), nearest=nearest_name(node, sram.nodes)
        )
    if bank_bytes > sram.capacity_large:
        problem = "no energy known for a bank so large"
        raise InputError(problem, value=f"{bank_bytes} B", expected=f"at most {sram.capacity_large} B, or more banks")
    table = sram.nodes[node]
    points = [
        (sram.capacity_small, table.small),
        (sram.capacity_middle, table.middle),
        (sram.capacity_large, table.large),
    ]
    if bank_bytes <= points[0][0]:
        return round(points[0][1] * access_bytes / TABLE_BYTES)
    low, high = points[:2] if bank_bytes <= points[1][0] else points[1:]
    along = math.log(bank_bytes / low[0]) / math.log(high[0] / low[0])
    return round(low[1] * math.pow(high[1] / low[1], along) * access_bytes / TABLE_BYTES)
