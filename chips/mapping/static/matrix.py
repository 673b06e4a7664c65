"""Matrix planes: weights stream into a plane's buffer, are installed under the sums of the tile before, and vectors
stream through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dieshot.chips.mapping.static.resource import Choice, Need
from dieshot.chips.mapping.static.schedule import Group, Schedule, buffer_group
from dieshot.chips.mapping.static.vector import Rows, Sums
from dieshot.kernels.static_program import ACTIVATE, INSTALL, LOAD, VECTOR


@dataclass(frozen=True, slots=True)
class Resident:
    """Vectors of a tile in slices of one hemisphere: vector v is on stream v mod n in turn v div n.

    vectors: bytes of weights over lanes, as they lie. converted: 8-bit weights that become 16-bit operands on the way
    through the vector unit. ready: first cycle at which all can be read.
    """

    hemisphere: int
    vectors: int
    slices: tuple[int, ...]
    addresses: tuple[int, ...]
    first_id: int
    converted: bool = False
    ready: int = 0

    def on_stream(self, stream: int) -> int:
        """Return how many vectors a stream carries."""
        n = len(self.slices)
        return (self.vectors - stream + n - 1) // n


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile that is installed: in which planes, under which number, and from which cycle on vectors may come."""

    number: int
    hemisphere: int
    plane: int
    planes: int
    ready: int


def resident(
    schedule: Schedule, name: str, hemisphere: int, vectors: int, converted: bool, new_vectors: int = 0
) -> Resident:
    """Return a tile laid out in slices; the last `new_vectors` are written by the region itself."""
    sram, machine = schedule.sram, schedule.machine
    streams = machine.parameters.vxm.alus // 2 if converted else machine.weight_streams
    n = min(streams, vectors)
    slices = tuple(sram.weight_slices(hemisphere, n))
    first_id = sram.ids(vectors)
    tile = Resident(hemisphere, vectors, slices, (0,) * n, first_id, converted)
    old = Resident(hemisphere, vectors - new_vectors, slices, (0,) * n, first_id, converted)
    addresses = []
    for stream, x in enumerate(slices):
        preloaded = max(0, old.on_stream(stream))
        address = sram.weight_rows(name, hemisphere, x, tile.on_stream(stream), preloaded, first_id + stream, n)
        addresses.append(address)
    return Resident(hemisphere, vectors, slices, tuple(addresses), first_id, converted)


def load(schedule: Schedule, tile: Resident, plane: int, planes: int) -> Tile:
    """Stream a tile into the buffer of a plane (or pair) and install it."""
    machine, n = schedule.machine, len(tile.slices)
    cycles = -(-tile.vectors // n)
    width = 2 if tile.converted else 1
    number = schedule.n_tiles
    schedule.n_tiles += 1
    latency = machine.parameters.mem.read_latency
    convert = machine.parameters.vxm.simple_latency
    h, needs, choices = tile.hemisphere, [], []
    # the anchor is the cycle in which the first weights pass the vector unit's end of the hemisphere
    source = -convert if tile.converted else 0
    earliest = schedule.plane_loadable[plane] - machine.planes_at
    for stream, (x, address) in enumerate(zip(tile.slices, tile.addresses, strict=True)):
        offset = source - x - latency if tile.converted else x - latency
        count = tile.on_stream(stream)
        needs += schedule.read_needs(h, x, address, count - 1, offset, count, 1)
        earliest = max(earliest, tile.ready - offset, -offset)
    if tile.converted:
        choices.append(Choice(schedule.pool(False, h, low=True), -(-n // 2), source, cycles, beside=True))
        choices.append(Choice(schedule.alu_pool(), n, source, cycles, result=convert))
    choices.append(Choice(schedule.pool(True, h, low=True), -(-n * width // 2), 0, cycles, beside=True))
    needs.append(Need(("load", plane), machine.planes_at, cycles))
    anchor, picks = schedule.resources.place(earliest, needs, choices)
    outs = _codes(schedule, True, h, picks[-1])
    if tile.converted:
        first_id = _convert(schedule, tile, anchor, picks, outs)
    else:
        first_id = tile.first_id
        for stream, (x, address) in enumerate(zip(tile.slices, tile.addresses, strict=True)):
            out = Group(outs[stream], 1, tile.first_id + stream, n)
            schedule.read(h, x, anchor + x - latency, tile.on_stream(stream), 1, (address, 1), out)
    _load_rows(schedule, tile, plane, number, anchor + machine.planes_at, first_id, outs, width)
    return _install(schedule, tile, plane, planes, number, anchor + machine.planes_at + cycles, width)


def _codes(schedule: Schedule, outward: bool, hemisphere: int, members: list[int]) -> list[int]:
    firsts = (schedule.pair_code(outward, hemisphere, member, low=True) for member in members)
    return [code + byte for code in firsts for byte in (0, 1)]


def _convert(schedule: Schedule, tile: Resident, anchor: int, picks: list[list[int]], outs: list[int]) -> int:
    """Add reads towards the vector unit and an ALU a stream; return the first number of the 16-bit vectors."""
    machine, n = schedule.machine, len(tile.slices)
    convert, latency = machine.parameters.vxm.simple_latency, machine.parameters.mem.read_latency
    ins = _codes(schedule, False, tile.hemisphere, picks[0])
    first_id = schedule.sram.ids(2 * tile.vectors)
    at = anchor - convert
    for stream, (x, address) in enumerate(zip(tile.slices, tile.addresses, strict=True)):
        count, alu = tile.on_stream(stream), picks[1][stream]
        taken = Group(ins[stream], 1, tile.first_id + stream, n)
        schedule.read(tile.hemisphere, x, at - x - latency, count, 1, (address, 1), taken)
        out = Group(outs[2 * stream], 2, first_id + 2 * stream, 2 * n)
        schedule.row(VECTOR, alu, schedule.queues["vxm"] + alu, at, count, a=taken, out=out, latency=convert)
    return first_id


def _load_rows(
    schedule: Schedule, tile: Resident, plane: int, number: int, at: int, first_id: int, outs: list[int], width: int
) -> None:
    """Add the Load of all streams, and that of the last cycle, which may have fewer, by itself."""
    n = len(tile.slices) * width
    full, rest = divmod(tile.vectors * width, n)
    queue = schedule.queues["mxm"] + 4 * plane
    if full:
        schedule.row(LOAD, plane, queue, at, full, a=Group(outs[0], n, first_id, n), x=(number, 0, 0))
    if rest:
        schedule.row(LOAD, plane, queue, at + full, 1, a=Group(outs[0], rest, first_id + full * n, 0), x=(number, 0, 0))


def _install(schedule: Schedule, tile: Resident, plane: int, planes: int, number: int, loaded: int, width: int) -> Tile:
    earliest = max(loaded, schedule.plane_installable[plane])
    at, _ = schedule.resources.place(earliest, [Need(("install", plane), 0, 1)])
    queue = schedule.queues["mxm"] + 4 * plane + 1
    schedule.row(INSTALL, plane, queue, at, 1, x=(number, planes, tile.vectors * width))
    schedule.plane_loadable[plane] = at + 1
    schedule.plane_installable[plane] = at + 1
    return Tile(number, tile.hemisphere, plane, planes, at + 1)


def activate(schedule: Schedule, tiles: Sequence[tuple[Tile, int]], source: Rows, n: int, dtype: str) -> int:
    """Stream n vectors through tiles of one hemisphere, each into a bank of its sums.

    Returns the cycle from which the sums may leave, one a cycle.
    """
    machine, buffer = schedule.machine, source.buffer
    interval, h = machine.activate_interval(dtype), tiles[0][0].hemisphere
    span = n * interval
    latency = machine.parameters.mem.read_latency
    needs = [Need(("activate", tile.plane), machine.planes_at, span) for tile, _ in tiles]
    earliest = max(max(schedule.bank_free.get((tile.plane, bank), 0), tile.ready) for tile, bank in tiles)
    earliest -= machine.planes_at
    for byte in range(buffer.bytes):
        x = buffer.x(byte)
        offset = x - latency
        rows = (n - 1) * source.stride
        needs += schedule.read_needs(h, x, buffer.base + source.row, rows, offset, span, 1)
        ready = buffer.earliest(source.row, source.stride, n, interval)
        earliest = max(earliest, ready - offset, -offset)
    anchor, picks = schedule.resources.place(earliest, needs, [Choice(schedule.pool(True, h), 1, 0, span)])
    code = schedule.pair_code(True, h, picks[0][0])
    for byte in range(buffer.bytes):
        x = buffer.x(byte)
        out = buffer_group(buffer, source.row, source.stride, byte, code + byte)
        at = (buffer.base + source.row, source.stride)
        schedule.read(h, x, anchor + x - latency, n, interval, at, out)
    start = anchor + machine.planes_at
    a = Group(code, buffer.bytes, buffer.id(source.row), source.stride * buffer.bytes)
    for tile, bank in tiles:
        queue = schedule.queues["mxm"] + 4 * tile.plane + 2
        x3 = (tile.number, tile.planes, bank * machine.parameters.mxm.accumulator_rows)
        schedule.row(ACTIVATE, tile.plane, queue, start, n, interval, a=a, x=x3)
        schedule.plane_installable[tile.plane] = max(schedule.plane_installable[tile.plane], start + span)
    return start + machine.parameters.mxm.latency + (n - 1) * (interval - 1)


def sums(schedule: Schedule, tile: Tile, bank: int, n: int, contributions: int, ready: int) -> Sums:
    """Return the sums that a pass may take up."""
    ids = schedule.sram.ids(4 * n)
    return Sums(tile.hemisphere, tile.plane, tile.planes, bank, contributions, ready, ids)


def append_vectors(schedule: Schedule, tile: Resident, first: int, source: Rows, n: int) -> int:
    """Copy n rows of a buffer into the last places of a tile that is kept in SRAM, one by one; 8-bit tiles narrow them.

    first: the tile's vector that the first row becomes. Returns the cycle in which all can be read.
    """
    machine, buffer = schedule.machine, source.buffer
    latency, last = machine.parameters.mem.read_latency, 0
    step, width = machine.parameters.vxm.simple_latency, 1 if tile.converted else buffer.bytes
    here = 1 - tile.hemisphere
    for i in range(n):
        row, vector = source.row + i * source.stride, first + width * i
        needs, begin = [], int(buffer.ready[row])
        lowest = 0
        for byte in range(buffer.bytes):
            x = buffer.x(byte)
            needs += schedule.read_needs(here, x, buffer.base + row, 0, -x - latency, 1, 1)
            lowest = max(lowest, begin + x + latency)
        for x, address in _places(tile, vector, width):
            needs += schedule.write_needs(tile.hemisphere, x, address, 0, step + x, 1, 1)
        choices = [
            Choice(schedule.pool(False, here), 1, 0, 1),
            Choice(schedule.alu_pool(), 1, 0, 1, result=step),
            Choice(schedule.pool(True, tile.hemisphere), 1, step, 1),
        ]
        anchor, picks = schedule.resources.place(lowest, needs, choices)
        last = max(last, _append_rows(schedule, tile, vector, width, Rows(buffer, row), anchor, picks))
    return last


def _places(tile: Resident, vector: int, width: int) -> list[tuple[int, int]]:
    """Return slice and address of the vectors from `vector` on."""
    n = len(tile.slices)
    return [(tile.slices[v % n], tile.addresses[v % n] + v // n) for v in range(vector, vector + width)]


def _append_rows(
    schedule: Schedule, tile: Resident, vector: int, width: int, source: Rows, anchor: int, picks: list[list[int]]
) -> int:
    machine, here, last = schedule.machine, 1 - tile.hemisphere, 0
    buffer, row, _ = source
    step, latency = machine.parameters.vxm.simple_latency, machine.parameters.mem.read_latency
    code = schedule.pair_code(False, here, picks[0][0])
    onward = schedule.pair_code(True, tile.hemisphere, picks[2][0])
    alu = picks[1][0]
    for byte in range(buffer.bytes):
        x = buffer.x(byte)
        out = buffer_group(buffer, row, 0, byte, code + byte)
        schedule.read(here, x, anchor - x - latency, 1, 1, (buffer.base + row, 0), out)
    a = Group(code, buffer.bytes, buffer.id(row), 0)
    put = Group(onward, width, tile.first_id + vector, 0)
    schedule.row(VECTOR, alu, schedule.queues["vxm"] + alu, anchor, 1, a=a, out=put, latency=step)
    for byte, (x, address) in enumerate(_places(tile, vector, width)):
        taken = Group(onward + byte, 1, tile.first_id + vector + byte, 0)
        ready = schedule.write(tile.hemisphere, x, anchor + step + x, 1, 1, (address, 0), taken)
        last = max(last, ready)
    return last
