"""Schema of configs/networks/on-die.yaml: what a flit on a network on a die costs."""

from __future__ import annotations

from dieshot.simulator.params import FemtojoulesPerBit, FemtojoulesPerByte, Millimetres, Schema

BITS_PER_BYTE = 8


class NetworkEnergy(Schema):
    """Energy of a router by bytes, of a millimetre of wire by bits, and how long the links between routers are."""

    name: str
    router: FemtojoulesPerByte
    wire_per_mm: FemtojoulesPerBit
    link_length: Millimetres


def router_fj(energy: NetworkEnergy, flit_bytes: int) -> int:
    """Return the energy in fJ of a flit that passes a router."""
    return energy.router * flit_bytes


def link_fj(energy: NetworkEnergy, flit_bytes: int, length_mm: float) -> int:
    """Return the energy in fJ of a flit that passes a link of a length in mm."""
    return round(energy.wire_per_mm * BITS_PER_BYTE * flit_bytes * length_mm)
