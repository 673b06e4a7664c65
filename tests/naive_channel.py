"""Plain Python twin of kernels/channel.py: every flit an object with its own history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Flit:
    """One flit: when it began on the wire and when its buffer slot was free for another, seen from the sender."""

    began: int
    taken: int
    credit_back: int


@dataclass
class NaiveChannel:
    """A link; the credit of flit k is the one that flit k - n_credits gave back."""

    flit_time: int
    block_time: int
    latency: int
    drain_time: int
    credit_time: int
    n_credits: int
    whole_packets: bool
    flits: list[Flit] = field(default_factory=list)

    def credit(self, k: int) -> int:
        """Return from when flit k may start as far as credits go."""
        return self.flits[k - self.n_credits].credit_back if k >= self.n_credits else 0

    def received(self, began: int) -> int:
        """Return when a flit is in the receiver's buffer: with the codeword in which its last bit lies."""
        end = began + self.flit_time
        while self.block_time and end % self.block_time:
            end += 1
        return end + self.latency

    def send(self, arrival: int, n_flits: int) -> tuple[int, int]:
        """Return (start, finish) of an item."""
        first = len(self.flits)
        for k in range(first, first + n_flits):
            free = self.flits[-1].began + self.flit_time if self.flits else 0
            waits_for = first + n_flits - 1 if self.whole_packets and k == first else k
            began = max(arrival, free, self.credit(k), self.credit(waits_for))
            before = self.flits[-1].taken if self.flits else 0
            taken = max(self.received(began), before) + self.drain_time
            self.flits.append(Flit(began, taken, taken + self.credit_time))
        return self.flits[first].began, self.flits[-1].taken


def carry(channel: NaiveChannel, items: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (start, finish) of items (arrival, flits)."""
    return [channel.send(arrival, n_flits) for arrival, n_flits in items]
