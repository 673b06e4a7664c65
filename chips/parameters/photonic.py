"""Schema of `architecture: photonic` documents (configs/chips/lightmatter-2025.yaml says where numbers come from)."""

from __future__ import annotations

from typing import Annotated, Literal

from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.params import (
    Bits,
    ByteRate,
    Bytes,
    BytesPerCycle,
    Choice,
    Count,
    Cycles,
    Factor,
    Femtojoules,
    FemtojoulesPerBit,
    FemtojoulesPerByte,
    FemtojoulesPerOp,
    Femtoseconds,
    Hertz,
    MemoryParameters,
    Milliwatts,
    Number,
    OpsPerCycle,
    Ratio,
    Schema,
    SquareMillimetres,
)
from dieshot.simulator.params.quantity import Quantity

Length = Annotated[float, Quantity("a length", ("mm",), "mm", integer=False)]

# Bits that an operand has, sign included: what the optics would have to resolve to lose nothing of it.
OPERAND_BITS = {"int4": 4, "int8": 8, "fp8": 5, "bf16": 9, "fp16": 12, "mxint8": 8, "mxint16": 16, "abfp16": 16}


class Array(Schema):
    """One optical array: `rows` inputs that are summed, `columns` outputs."""

    rows: Count
    columns: Count


class Inputs(Schema):
    """A converter and a modulator for every row. rate: samples of a lane; latency, modulator: digits to light."""

    rate: Hertz
    bits: Bits
    latency: Femtoseconds
    modulator: Femtoseconds


class Weights(Schema):
    """Converters that write weights. lanes: of one array, side by side. settle: from a weight's voltage or current to
    its light. buffers: 2 where a block is written beside the one in use. decomposition: operations of the vector unit
    per weight, to find the phases of a block whose values are only known at run time."""

    lanes: Count
    rate: Hertz
    bits: Bits
    settle: Femtoseconds
    buffers: Count
    decomposition: Factor


class Detectors(Schema):
    """Photodiodes, amplifiers and converters of the outputs. lanes: converters of one array; fewer than columns take
    turns. detection: of light powers, or of fields against a reference. noise: input-referred, of an amplifier, in
    pA per root Hz. crosstalk_db: power of a neighbour's light."""

    lanes: Count
    rate: Hertz
    bits: Bits
    amplifier: Femtoseconds
    latency: Femtoseconds
    detection: Choice[Literal["power", "field"]]
    responsivity_a_per_w: Factor
    noise_pa_per_rthz: Factor
    crosstalk_db: Number


class Optics(Schema):
    """The way of the light. path: of a beam over the chip; elements: modulating elements that it passes in series;
    losses in dB: of a coupling into and out of the chip, an input modulator, an element, a mm of waveguide, and what
    splitters and combiners lose beyond dividing; loss_db: all of them."""

    path: Length
    group_index: Factor
    elements: Count
    coupling_db: Factor
    modulator_db: Factor
    element_db: Factor
    waveguide_db_per_mm: Factor
    splitting_db: Factor
    loss_db: Factor


class Laser(Schema):
    """optical_power: into the package, all arrays. wall_plug: light out per electricity in. rin_db_per_hz: relative
    intensity noise."""

    optical_power: Milliwatts
    wall_plug: Ratio
    rin_db_per_hz: Number


class Footprint(Schema):
    """Lengths that a cell is made of. mode_index: of the guided mode. pitch: from waveguide to waveguide without
    coupling. shifter: one phase shifter or modulator; coupler: one splitter. A cell has `shifters` and `couplers` in a
    row, and two bends. To compare with: electronic_cell, a digital multiplier and adder alone; electronic_mac with its
    share of a die, electronic_clock."""

    wavelength: Length
    mode_index: Factor
    pitch: Length
    bend_radius: Length
    shifter: Length
    coupler: Length
    shifters: Count
    couplers: Count
    electronic_cell: SquareMillimetres
    electronic_mac: SquareMillimetres
    electronic_clock: Hertz


class Accumulator(Schema):
    """Digital sums behind the converters of one array. ops_per_sum: rescaling, adding."""

    rate: OpsPerCycle
    ops_per_sum: Factor
    latency: Cycles


class Vector(Schema):
    """Digital lanes of the whole chip. overhead: of one instruction over a tile."""

    rate: OpsPerCycle
    transcendental_rate: OpsPerCycle
    overhead: Cycles


class Sram(Schema):
    """Digital memory of the whole chip: weights that wait to be written, partial sums, tensors between operators.
    bandwidth: beside one array."""

    weights: Bytes
    sums: Bytes
    activations: Bytes
    bandwidth: BytesPerCycle


class Host(Schema):
    """Memory that weights, caches and large tensors lie in. link: between it and the chip, each way. latency: from a
    request to its first byte. buffers: tiles loaded ahead or in use; with 1 a load waits until the tile before it is
    used up."""

    capacity: Bytes
    channels: Count
    link: ByteRate
    latency: Femtoseconds
    buffers: Count
    memory: MemoryParameters


class Software(Schema):
    """tile: weights loaded at a time. rescale_ops: per operand element of a product, to find and take off the block's
    exponent. softmax_ops, elementwise_ops: factors on the operator's own operations."""

    tile: Bytes
    rescale_ops: Factor
    softmax_ops: Factor
    elementwise_ops: Factor


class Program(Schema):
    """region: to begin a stretch of operators; operator: from one to the next."""

    region: Femtoseconds
    operator: Femtoseconds


class Energy(Schema):
    """Event energies. dac_8bit, adc_8bit: of a sample of 8 bits; input, weight, adc: of a sample as it is made."""

    dac_8bit: Femtojoules
    adc_8bit: Femtojoules
    modulator: Femtojoules
    input: Femtojoules
    weight: Femtojoules
    adc: Femtojoules
    sum_op: FemtojoulesPerOp
    vector_op: FemtojoulesPerOp
    sram: FemtojoulesPerByte
    host: FemtojoulesPerBit


class Power(Schema):
    """idle: leakage and clocks of the digital dies. tuning: heaters and bias that hold the optics on their working
    point. electrical, module: published power of the chip and of what it sits on."""

    idle: Milliwatts
    tuning: Milliwatts
    electrical: Milliwatts | None = None
    module: Milliwatts | None = None


class PhotonicParameters(Schema):
    """A chip of optical arrays between converters, with digital sums and lanes, fed from a host's memory."""

    name: str
    architecture: str
    clock: Hertz
    cores: Count
    array: Array
    formats: dict[str, bool]
    inputs: Inputs
    weights: Weights
    detectors: Detectors
    optics: Optics
    laser: Laser
    footprint: Footprint
    accumulator: Accumulator
    vector: Vector
    sram: Sram
    host: Host
    software: Software
    program: Program
    energy: Energy
    power: Power


def formats_of(p: PhotonicParameters) -> tuple[str, ...]:
    """Return the formats that operands may have."""
    return tuple(sorted(name for name, taken in p.formats.items() if taken))


def check_feasible(p: PhotonicParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    if p.weights.buffers > 2:
        raise InfeasibleError("weights.buffers", p.weights.buffers, "1 or 2")
    for name in p.formats:
        if name not in OPERAND_BITS:
            raise InfeasibleError("formats", name, f"one of {', '.join(OPERAND_BITS)}")
    if p.software.tile * 2 > p.sram.weights:
        raise InfeasibleError("software.tile", p.software.tile, "half of sram.weights at most")
    least = 4 * p.array.columns * p.cores
    if p.sram.sums < least:
        raise InfeasibleError("sram.sums", p.sram.sums, f"at least {least} bytes: a sum of every output")
    if p.laser.wall_plug <= 0:
        raise InfeasibleError("laser.wall_plug", p.laser.wall_plug, "more than 0")
