"""Link documents: what joins the chips of a system."""

from __future__ import annotations

from typing import Literal

from dieshot.simulator.params.quantity import (
    BitRate,
    ByteRate,
    Bytes,
    Choice,
    Count,
    FemtojoulesPerBit,
    Femtoseconds,
    Millimetres,
    Milliwatts,
    Ratio,
    Text,
)
from dieshot.simulator.params.schema import Schema


class LayerParameters(Schema):
    """What one link is made of, from end to end; a way through a switch is two such wires.

    n_lanes, lane_rate: of one direction. encoding: data bits per bit on the lane. flit: the unit of credits.
    serdes_latency: both ends of a wire. fec_block: data of one codeword, None without an error code; fec_latency: to
    decode it. dsp_latency: of the retimer or module at one end. conversion_latency: to light and back. medium, length,
    flight_time_per_metre: of a wire. latency: of a wire, codeword collected. switch_latency: in to out of the switch.
    endpoint_latency: from memory to port and from port to memory, both chips. energy: of a bit over a wire, both ends;
    switch_energy: of a bit through the switch; laser_energy: what the lasers of a wire take for a bit at its full rate,
    sent or not. receiver_buffer: what the far end can hold, so the credits. credit_latency: from a flit taken there to
    its credit back at the sender.
    """

    n_lanes: Count
    lane_rate: BitRate
    encoding: Ratio
    flit: Bytes
    serdes_latency: Femtoseconds
    fec_block: Bytes | None = None
    fec_latency: Femtoseconds
    dsp_latency: Femtoseconds | None = None
    conversion_latency: Femtoseconds | None = None
    medium: Text
    length: Millimetres
    flight_time_per_metre: Femtoseconds
    latency: Femtoseconds | None = None
    switch_latency: Femtoseconds
    endpoint_latency: Femtoseconds | None = None
    energy: FemtojoulesPerBit | None = None
    switch_energy: FemtojoulesPerBit | None = None
    laser_energy: FemtojoulesPerBit | None = None
    receiver_buffer: Bytes
    credit_latency: Femtoseconds


class LinkParameters(Schema):
    """A fabric of like links, seen from one chip.

    n_links: links of one chip. rate: one link, one direction. hop_latency: chip to chip, one way, switch included,
    without serialisation. protocol_efficiency: payload bytes per byte on the wire. max_chips: chips that it can join.
    in_switch_reduction: whether switches add up what chips send; in_switch_efficiency: payload per byte on the wire
    then. shape: sides of the largest grid of chips, such as 16x16 (ring, mesh, torus); wrap_side: an axis closes into
    a ring where its side is a multiple of this (ring, torus). wiring: whether links between all chips are laid for
    max_chips (fixed, so without it) or anew for those that there are (free). read_window: what one chip's kernels ask
    for and still wait for when they read from peers (None: no bound). staging_buffer, staging_setup: a library's
    buffers that long messages pass, filled once before the links are busy, and its time to begin. energy: per bit
    moved from chip to chip, in switches too. laser_power: of one link of one chip, whether it sends or not. layers:
    what rate and hop_latency are made of, where that is told. replaces: the links that the system has by itself, where
    these stand in for them. laid_for: chips of the system that links of free wiring are laid for.
    """

    name: str
    technology: Text
    topology: Choice[Literal["switch", "ring", "mesh", "torus", "full"]]
    n_links: Count
    rate: ByteRate
    hop_latency: Femtoseconds
    protocol_efficiency: Ratio
    max_chips: Count
    shape: Text | None = None
    wrap_side: Count | None = None
    wiring: Choice[Literal["fixed", "free"]] | None = None
    in_switch_reduction: Choice[Literal["supported", "absent"]]
    in_switch_efficiency: Ratio | None = None
    read_window: Bytes | None = None
    staging_buffer: Bytes | None = None
    staging_setup: Femtoseconds | None = None
    energy: FemtojoulesPerBit
    laser_power: Milliwatts | None = None
    layers: LayerParameters | None = None
    replaces: str | None = None
    laid_for: int | None = None
