"""What of the latest tensors the L2 still holds when the next kernel starts: an LRU stack of tensors, byte by byte."""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.traces.operator import PREVIOUS, RESIDUAL, Operator

Entry = tuple[str, int]
STREAMED = ""  # weights, KV cache: nobody asks for them again before they are evicted


@dataclass(frozen=True, slots=True)
class L2Contents:
    """Tensors from newest to oldest with the bytes of each that are in the cache; `previous` and `residual` name
    two."""

    stack: tuple[Entry, ...] = ()
    previous: str = ""
    residual: str = ""

    def resident_bytes(self, operator: Operator) -> int:
        """Return how many of the operator's input bytes are in the cache."""
        held = dict(reversed(self.stack))
        total = 0
        for producer, size in operator.inputs.items():
            total += min(size, held.get(self._name(producer), 0))
        return total

    def after(self, operator: Operator, capacity_bytes: int, skipped_bytes: int = 0) -> L2Contents:
        """Return the contents when the operator is done: its output newest, then inputs, then what it streamed.

        skipped_bytes: of its weights that are not stored.
        """
        inputs = [(self._name(producer), size) for producer, size in operator.inputs.items()]
        streamed = operator.weight_bytes - skipped_bytes + operator.kv_read_bytes + operator.kv_write_bytes
        touched = [(operator.name, operator.output_bytes), *inputs, (STREAMED, streamed)]
        names = {name for name, _ in touched if name != STREAMED}
        kept = [entry for entry in self.stack if entry[0] not in names]
        writes_residual = operator.kind == "embedding" or operator.dims.get("writes_residual") == 1
        residual = operator.name if writes_residual else self.residual
        return L2Contents(_fit(touched + kept, capacity_bytes), operator.name, residual)

    def _name(self, producer: str) -> str:
        if producer == PREVIOUS:
            return self.previous
        return self.residual if producer == RESIDUAL else producer


def _fit(entries: list[Entry], capacity_bytes: int) -> tuple[Entry, ...]:
    """Return the newest entries that fit, adjacent streamed bytes joined."""
    out: list[Entry] = []
    left = capacity_bytes
    for name, size in entries:
        held = min(size, left)
        if held <= 0:
            continue
        left -= held
        if name == STREAMED and out and out[-1][0] == STREAMED:
            out[-1] = (STREAMED, out[-1][1] + held)
        else:
            out.append((name, held))
    while out and out[-1][0] == STREAMED:
        out.pop()
    return tuple(out)
