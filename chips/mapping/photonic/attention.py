"""Attention on optical arrays: scores, softmax on the digital lanes, outputs; keys and values are written every time,
or, with few queries, pass as vectors by queries and probabilities that are written.

A group of heads is a step, shared by all arrays, so that the scores of the next are made during a softmax.
"""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.chips.mapping.attention_dims import AttentionDims
from dieshot.chips.mapping.photonic.machine import Draft, PhotonicMachine, Plan, Rows, pieces, stacked
from dieshot.traces.dtype import DTYPE_BITS, bytes_of
from dieshot.traces.work import keys_read

MOST_GROUPS = 16  # of heads, after each other
AHEAD = 2  # groups whose scores are made before the first one's outputs


@dataclass(frozen=True, slots=True)
class AttentionShape(AttentionDims):
    """With where keys and values come from, and tensors that the host keeps (bytes)."""

    from_cache: bool
    spilled_in: int
    spilled_out: int

    @property
    def n_keys(self) -> int:
        """Keys that some query sees."""
        return keys_read(self.q_len, self.kv_len, self.window)

    @property
    def copies(self) -> int:
        """Independent heads: a KV head of a sequence."""
        return self.batch * self.kv_heads

    def seeing(self, first: int, stop: int) -> int:
        """Return the rows (queries x heads of a group) that see some of the keys first .. stop - 1 of those read."""
        if not self.causal:
            return self.group * self.q_len
        begin = self.kv_len - self.n_keys
        earliest = max(begin + first, self.kv_len - self.q_len)
        latest = self.kv_len - 1
        if self.window:
            latest = min(latest, begin + stop - 1 + self.window - 1)
        return self.group * max(0, latest - earliest + 1)


def padded_keys(machine: PhotonicMachine, shape: AttentionShape) -> int:
    """Return the keys that a decode step reads: whole blocks of the cache."""
    return -(-shape.n_keys // machine.columns) * machine.columns


def plans(machine: PhotonicMachine, shape: AttentionShape) -> list[Plan]:
    """Return the ways to carry out attention; queries are written only where there is one a sequence."""
    ways = ("cache", "queries") if shape.q_len == 1 else ("cache",)
    return [_plan(machine, shape, written) for written in ways]


def _plan(machine: PhotonicMachine, shape: AttentionShape, written: str) -> Plan:
    keys = padded_keys(machine, shape) if shape.q_len == 1 else shape.n_keys
    together = max(machine.p.cores, -(-shape.copies // MOST_GROUPS))
    bits = DTYPE_BITS[shape.kv_dtype]
    room = machine.timing.weight_sram_bytes // 4
    span = room * 8 // (bits * together * shape.head_dim) // machine.columns * machine.columns
    turns = []
    for copies in pieces(shape.copies, together):
        first = 0
        for n_keys in pieces(keys, max(machine.columns, span)):
            turns.append(_turn(machine, shape, written, copies, first, n_keys))
            first += n_keys
    rescale = shape.batch * shape.q_len * shape.heads * shape.head_dim * machine.p.software.rescale_ops
    drafts = [Draft(load=shape.spilled_in, gated=shape.spilled_in > 0, ops=rescale)]
    outputs: list[tuple[int, Draft]] = []
    for scores, output in turns:
        drafts.extend(scores)
        outputs.append((len(drafts) - 1, output))
        if len(outputs) == AHEAD:
            drafts.append(_after(*outputs.pop(0)))
    drafts.extend(_after(*each) for each in outputs)
    drafts.append(Draft(after=len(drafts) - 1, store=shape.spilled_out))
    n_bytes = bytes_of(2 * shape.copies * keys * shape.head_dim, shape.kv_dtype) if shape.from_cache else 0
    return machine.plan(f"{written} written", drafts, n_bytes)


def _after(scores: int, output: Draft) -> Draft:
    """Return outputs that follow the softmax of their scores."""
    return Draft(output.share, runs=output.runs, streamed=output.streamed, after=scores)


def _turn(
    machine: PhotonicMachine, shape: AttentionShape, written: str, copies: int, first: int, n_keys: int
) -> tuple[list[Draft], Draft]:
    """Return scores with their softmax, and outputs, of some heads over some keys."""
    software = machine.p.software
    share = copies * n_keys * shape.head_dim
    streamed = written == "queries"
    rows = [shape.seeing(first + start, first + start + n) for start, n in _blocks(n_keys, machine.columns)]
    n_scores = copies * sum(n * seen for (_, n), seen in zip(_blocks(n_keys, machine.columns), rows, strict=True))
    ops = (4 * n_scores * software.softmax_ops) + n_scores * software.rescale_ops
    if streamed:
        runs = _streamed(machine, copies, shape.group, shape.head_dim, n_keys)
        after = _streamed(machine, copies, shape.group, n_keys, shape.head_dim)
        values = copies * shape.group * shape.head_dim
        later = copies * shape.group * n_keys
    else:
        runs = _written(machine, shape, copies, first, n_keys, keys_are_columns=True)
        after = _written(machine, shape, copies, first, n_keys, keys_are_columns=False)
        values, later = share, share
    decompose = machine.p.weights.decomposition
    scores = [Draft(ops=values * decompose, after=0)] if decompose else []
    ops += later * decompose
    scores.append(Draft(share, runs=runs, streamed=streamed, after=0, ops=ops, transcendental=float(n_scores)))
    return scores, Draft(share, runs=after, streamed=streamed)


def _blocks(n_keys: int, extent: int) -> list[tuple[int, int]]:
    return [(first, min(extent, n_keys - first)) for first in range(0, n_keys, extent)]


def _shared(machine: PhotonicMachine, copies: int, alike: dict[tuple[int, int, int], int]) -> Rows:
    """Return runs of like blocks (vectors, rows, columns: how many a head), as evenly over all arrays as can be; sums
    of a head's parts are added behind the converters."""
    cores, first = machine.p.cores, 0
    runs = []
    for (vectors, rows, columns), count in alike.items():
        each, left = divmod(copies * count, cores)
        for position in range(cores):
            n = each + (position < left)
            if n:
                runs.append(machine.run((first + position) % cores, vectors, n, rows, columns))
        first += left
    return stacked(runs)


def _written(
    machine: PhotonicMachine, shape: AttentionShape, copies: int, first: int, n_keys: int, keys_are_columns: bool
) -> Rows:
    """Return the runs of keys (columns: keys, depth: head) or values (columns: head, depth: keys) that are written."""
    extent = machine.columns if keys_are_columns else machine.rows
    across = pieces(shape.head_dim, machine.rows if keys_are_columns else machine.columns)
    alike: dict[tuple[int, int, int], int] = {}
    for start, n in _blocks(n_keys, extent):
        seen = shape.seeing(first + start, first + start + n)
        for part in across:
            rows, columns = (part, n) if keys_are_columns else (n, part)
            if seen:
                alike[seen, rows, columns] = alike.get((seen, rows, columns), 0) + 1
    return _shared(machine, copies, alike)


def _streamed(machine: PhotonicMachine, copies: int, width: int, depth: int, vectors: int) -> Rows:
    """Return the runs of queries or probabilities that are written (columns: rows of a group, depth), by which cached
    vectors pass."""
    alike: dict[tuple[int, int, int], int] = {}
    for columns in pieces(width, machine.columns):
        for rows in pieces(depth, machine.rows):
            alike[vectors, rows, columns] = alike.get((vectors, rows, columns), 0) + 1
    return _shared(machine, copies, alike)
