"""Rotary embedding with the append to the cache, and attention: keys and values are installed like weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dieshot.chips.mapping.static.lower import PASS_COST, PLANE_COST, Cache, Lower, Lowering, Tensor
from dieshot.chips.mapping.static.matrix import activate, append_vectors, load, resident, sums
from dieshot.chips.mapping.static.pointwise import across_lanes, ones
from dieshot.chips.mapping.static.sram import Buffer
from dieshot.chips.mapping.static.vector import Input, Permuted, Rows, Step, Sums, vector_pass
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.dtype import DTYPE_BITS
from dieshot.traces.operator import Operator

KEYS, VALUES = 0, 1


def _cache(low: Lowering, operator: Operator, kv_heads: int, queries: int) -> Cache:
    """Lay out the cache of a piece; the last vectors of the last tile are those of so many new tokens."""
    piece, lanes = low.piece, low.schedule.machine.lanes
    bytes_ = DTYPE_BITS[operator.kv_dtype or "bf16"] // 8
    tiles = {}
    for which in (KEYS, VALUES):
        for s in range(piece.sequences):
            for g in range(kv_heads):
                for j in range(piece.key_tiles):
                    new = queries * bytes_ if j == piece.key_tiles - 1 else 0
                    name = f"cache of {operator.name}"
                    tiles[which, s, g, j] = resident(
                        low.schedule, name, (s * kv_heads + g + j) % 2, lanes * bytes_, bytes_ == 1, new
                    )
    return Cache(tiles)


def _rope(low: Lowering, operator: Operator) -> None:
    """Turn queries and keys head by head (two permuted copies, two products, a sum); append keys and values."""
    dims, m = operator.dims, low.tokens
    heads, kv_heads, head_dim = dims["heads"], dims["kv_heads"], dims["head_dim"]
    machine = low.schedule.machine
    if head_dim > machine.lanes:
        raise UnsupportedError(
            f"{machine.parameters.name} needs heads of at most {machine.lanes} lanes ({operator.name})"
        )
    width = machine.lanes // head_dim
    x = low.input(operator, 0, -(-(heads + 2 * kv_heads) // width) * machine.lanes)
    q = low.buffer(f"{operator.name} queries", (head_dim,) * heads, m, 2, [x.buffer])
    k = low.buffer(f"{operator.name} keys", (head_dim,) * kv_heads, m, 2, [x.buffer])
    v = low.buffer(f"{operator.name} values", (head_dim,) * kv_heads, m, 2, [x.buffer])
    cosine = low.arrived("cosines", head_dim, m, [x.buffer, q, k]).buffer
    sine = low.arrived("sines", head_dim, m, [x.buffer, q, k, cosine]).buffer
    done = []
    normed = _normed(low, operator, x, heads + kv_heads) if dims["qk_norm"] else None
    for head in range(heads + kv_heads):
        target = Rows(q, head * m) if head < heads else Rows(k, (head - heads) * m)
        source = Rows(x.buffer, head // width * m) if normed is None else Rows(normed.buffer, head * m)
        inputs: list[Input] = [Permuted(source, 0), Permuted(source, 1, True), Rows(cosine), Rows(sine)]
        steps = [Step(False, 0, 2), Step(False, 1, 3), Step(False, -1, -2, target)]
        after = x.after if normed is None else (normed.after[head],)
        done.append(low.pass_(m, lambda each=inputs: each, steps, after))  # type: ignore[misc]
    copied = []
    for head in range(kv_heads):
        source = Rows(x.buffer, (heads + kv_heads + head) // width * m)
        sources: list[Input] = [Permuted(source, 0)]
        copy = [Step(False, 0, None, Rows(v, head * m))]
        copied.append(low.pass_(m, lambda each=sources: each, copy, x.after))  # type: ignore[misc]
    low.tensors[operator.name] = [Tensor(q, low.joined(done))]
    reader = next((each for each in low.operators if each.kind == "attention"), None)
    if reader is not None:
        low.cache = _cache(low, operator, kv_heads, low.piece.queries)
        low.cache.appended = _append(low, low.cache, k, v, low.joined((*done, *copied)))


def _normed(low: Lowering, operator: Operator, x: Tensor, n_heads: int) -> Tensor:
    """Divide every head by its root mean square and scale it: heads side by side come apart on the way."""
    m, head_dim, lanes = low.tokens, operator.dims["head_dim"], low.schedule.machine.lanes
    heads = (head_dim,) * n_heads
    apart = low.buffer(f"{operator.name} heads", heads, m, 2, [x.buffer])
    squares = low.buffer(f"{operator.name} squares", heads, m, 2, [x.buffer, apart])
    root = low.buffer(f"{operator.name} roots", heads, m, 2, [apart, squares])
    gain = low.arrived(f"{operator.name} gain", head_dim, 1, [apart, root]).buffer
    out = low.buffer(f"{operator.name} normed", heads, m, 2, [apart, root, gain])
    width, at_once = lanes // head_dim, max(1, low.schedule.machine.parameters.mxm.accumulator_rows // m)
    done: list[int] = []
    for first in range(0, n_heads, at_once):
        count = min(at_once, n_heads - first)
        squared = []
        for head in range(first, first + count):
            inputs: list[Input] = [Permuted(Rows(x.buffer, head // width * m), 0)]
            steps = [Step(False, 0, None, Rows(apart, head * m)), Step(False, 0, None, Rows(squares, head * m))]
            squared.append(low.pass_(m, lambda each=inputs: each, steps, x.after))  # type: ignore[misc]
        found, summed, bank = ones(low, Tensor(squares), count * m, squared, first * m)
        to_root = [Step(False, 0), Step(True, -1, None, Rows(root, first * m))]
        rooted = low.pass_(count * m, lambda each=found: each, to_root, [summed])  # type: ignore[misc]
        low.sum_chain[bank] = rooted
        for head in range(first, first + count):
            sources: list[Input] = [Rows(apart, head * m), Rows(root, head * m), Rows(gain, 0, 0)]
            scale = [Step(False, 0, 1), Step(False, -1, 2, Rows(out, head * m))]
            done.append(low.pass_(m, lambda each=sources: each, scale, [rooted]))  # type: ignore[misc]
    return Tensor(out, tuple(done))


def _append(low: Lowering, cache: Cache, k: Buffer, v: Buffer, after: tuple[int, ...]) -> tuple[int, ...]:
    piece, tasks = low.piece, []
    for (which, s, g, j), tile in cache.tiles.items():
        if j != piece.key_tiles - 1:
            continue
        source = Rows(k if which == KEYS else v, g * low.tokens + s * piece.queries)
        first = tile.vectors - (1 if tile.converted else 2) * piece.queries

        def place(key: tuple[int, int, int, int] = (which, s, g, j), source: Rows = source, first: int = first) -> None:
            ready = append_vectors(low.schedule, cache.tiles[key], first, source, piece.queries)
            cache.tiles[key] = replace(cache.tiles[key], ready=ready)

        tasks.append(low.tasks.add(place, PASS_COST + piece.queries, after))
    return tuple(tasks)


def _attention(low: Lowering, operator: Operator) -> None:
    dims, machine = operator.dims, low.schedule.machine
    if operator.kv_dtype is None:
        raise UnsupportedError(
            f"{machine.parameters.name} has no schedule for attention without a cache ({operator.name})"
        )
    heads, kv_heads, head_dim = dims["heads"], dims["kv_heads"], dims["head_dim"]
    q = low.input(operator, 0, heads * head_dim)
    if q.buffer.groups != heads:
        q = Tensor(low.schedule.sram.arrived(low.buffer("queries", (head_dim,) * heads, low.tokens)))
    if low.cache is None:
        low.cache = _cache(low, operator, kv_heads, 0)  # the tokens are in it already
    y = low.buffer(operator.name, (head_dim,) * heads, low.tokens, DTYPE_BITS[operator.output_dtype] // 8, [q.buffer])
    done: list[int] = []
    shared = heads // kv_heads
    for s in range(low.piece.sequences):
        for g in range(kv_heads):
            depth = machine.parameters.mxm.accumulator_rows
            if low.piece.queries == 1:
                row = g * shared * low.tokens + s
                runs = [
                    (row + first * low.tokens, low.tokens, min(depth, shared - first))
                    for first in range(0, shared, depth)
                ]
            else:
                runs = [
                    ((g * shared + i) * low.tokens + s * low.piece.queries, 1, low.piece.queries) for i in range(shared)
                ]
            done += _Head(low, q, y, s, g, runs).lower()
    low.tensors[operator.name] = [Tensor(y, low.joined(done))]


@dataclass
class _Head:
    """The queries that share one head of the cache; a run is a stretch of their rows: first, stride, number."""

    low: Lowering
    q: Tensor
    y: Buffer
    sequence: int
    head: int
    runs: list[tuple[int, int, int]]

    def lower(self) -> list[int]:
        """Add all tasks; return the last ones."""
        n = sum(run[2] for run in self.runs)
        low, tiles = self.low, self.low.piece.key_tiles
        lanes = (low.schedule.machine.lanes,)
        scores = [low.buffer("scores", lanes, n, 2, [self.q.buffer]) for _ in range(tiles)]
        scored = [self._scores(j, scores[j]) for j in range(tiles)]
        highest, after = scores[0], scored[0]
        for j in range(1, tiles):
            target = low.buffer("highest scores", lanes, n, 2, [highest, scores[j]])
            inputs: list[Input] = [Rows(highest), Rows(scores[j])]
            after = [low.pass_(n, lambda each=inputs: each, [Step(False, 0, 1, Rows(target))], (*after, *scored[j]))]  # type: ignore[misc]
            highest = target
        top, after = across_lanes(low, highest, n, after, [])
        powers, raised = [], []
        for j in range(tiles):
            p = low.buffer("powers", lanes, n, 2, [scores[j], top])
            steps = [Step(False, 0, 1), Step(True, -1, None, Rows(p))]
            sources: list[Input] = [Rows(scores[j]), Rows(top)]
            raised.append(low.pass_(n, lambda each=sources: each, steps, after))  # type: ignore[misc]
            powers.append(p)
        last, offset = [], 0
        for run in self.runs:
            last += self._weighted(run, offset, powers, raised)
            offset += run[2]
        return last

    def _after(self, j: int, after: tuple[int, ...]) -> list[int]:
        is_last = j == self.low.piece.key_tiles - 1
        return [*after, *(self.low.cache.appended if is_last and self.low.cache else ())]

    def _scores(self, j: int, target: Buffer) -> list[int]:
        """Install a tile of keys, stream the queries through, scale the sums: one task a run, on one tile."""
        low, schedule = self.low, self.low.schedule
        assert low.cache is not None
        cache, key = low.cache, (KEYS, self.sequence, self.head, j)
        h = cache.tiles[key].hemisphere
        plane = schedule.machine.plane(h, 0)

        def place() -> None:
            tile, offset = load(schedule, cache.tiles[key], plane, 2), 0
            for turn, (row, stride, n) in enumerate(self.runs):
                ready = activate(schedule, [(tile, turn % 2)], Rows(self.q.buffer, row, stride), n, "fp16")
                each: list[Input] = [sums(schedule, tile, turn % 2, n, 1, ready)]
                vector_pass(schedule, n, each, [Step(False, 0), Step(False, -1, None, Rows(target, offset))])
                offset += n

        n = sum(run[2] for run in self.runs)
        after = self._after(j, self.q.after)
        if plane in low.plane_chain:
            after.append(low.plane_chain[plane])
        banks = [(plane, bank) for bank in (0, 1)]
        after += [low.sum_chain[bank] for bank in banks if bank in low.sum_chain]
        low.plane_chain[plane] = low.tasks.add(place, PLANE_COST + n, after)
        low.sum_chain |= dict.fromkeys(banks, low.plane_chain[plane])
        return [low.plane_chain[plane]]

    def _weighted(self, run: tuple[int, int, int], offset: int, powers: list[Buffer], raised: list[int]) -> list[int]:
        """Install the tiles of values, stream the powers through, divide by their sum: lanes of ones beside the values
        add them up."""
        low, schedule = self.low, self.low.schedule
        assert low.cache is not None
        cache, (row, stride, n) = low.cache, run
        found: dict[int, list[Sums]] = {}
        contributions: dict[int, int] = {}
        banks: dict[int, tuple[int, list[int]]] = {}
        waves = []
        for j, p in enumerate(powers):
            h = cache.tiles[VALUES, self.sequence, self.head, j].hemisphere
            if h not in banks:
                banks[h] = low.bank(schedule.machine.plane(h, 0))
            contributions[h] = contributions.get(h, 0) + 1
            after = self._after(j, (raised[j], *banks[h][1]))
            waves.append(self._value_wave(j, Rows(p, offset), n, banks[h][0], found, contributions[h], after))
        raw = low.buffer("weighted values", (schedule.machine.lanes,), n, 2, [self.y])

        def emit() -> int:
            halves: list[Input] = [each[0] for each in found.values()]
            steps = [Step(False, 0, 1)] if len(halves) == 2 else [Step(False, 0)]
            return vector_pass(schedule, n, halves, [*steps, Step(False, -1, None, Rows(raw))])

        emitted = low.tasks.add(emit, PLANE_COST + n, waves)
        sources: list[Input] = [Permuted(Rows(raw), 0), Rows(raw)]
        steps = [Step(True, 0), Step(False, -1, 1, Rows(self.y, row, stride))]
        last = low.pass_(n, lambda: sources, steps, [emitted])
        for h, (bank, _) in banks.items():
            low.sum_chain[schedule.machine.plane(h, 0), bank] = emitted
        return [last]

    def _value_wave(
        self,
        j: int,
        source: Rows,
        n: int,
        bank: int,
        found: dict[int, list[Sums]],
        contributions: int,
        after: list[int],
    ) -> int:
        low, schedule = self.low, self.low.schedule
        assert low.cache is not None
        cache, key = low.cache, (VALUES, self.sequence, self.head, j)
        h = cache.tiles[key].hemisphere
        plane = schedule.machine.plane(h, 0)

        def place() -> None:
            tile = load(schedule, cache.tiles[key], plane, 2)
            ready = activate(schedule, [(tile, bank)], source, n, "fp16")
            found[h] = [sums(schedule, tile, bank, n, contributions, ready)]

        if plane in low.plane_chain:
            after.append(low.plane_chain[plane])
        low.plane_chain[plane] = low.tasks.add(place, PLANE_COST + n, after)
        return low.plane_chain[plane]


LOWER_ATTENTION: dict[str, Lower] = {
    "rope_kv_append": _rope,
    "attention": _attention,
}
