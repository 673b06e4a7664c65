"""What a part of a block is asked to do with a vector: its items come and go one after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """Pass items of `elements` through a unit ("vector", "table", "bus"), `ops` and `specials` operations an element.

    n_items: the elements come in so many items of like size. barrier: none before all of the phase before is there.
    latency: cycles that the unit takes beside its work.
    """

    unit: str
    elements: int
    n_items: int
    ops: int
    specials: int
    latency: int
    barrier: bool = False


@dataclass(frozen=True, slots=True)
class Matrix:
    """Multiply a vector of K elements by a matrix in ROM with N columns. lora: words of both matrices beside it."""

    K: int
    N: int
    n_items: int
    lora: tuple[int, int] = (0, 0)
    barrier: bool = False


@dataclass(frozen=True, slots=True)
class Cache:
    """Read or write words of the SRAM, n_items beats of them. macs: of a word with the vector, 0 if only moved.

    gated: the vector comes in beat by beat, as the words are read (weights of the values); else it is there before.
    """

    words: int
    n_items: int
    macs: int
    lane_cycles: int
    gated: bool = False
    barrier: bool = True


Phase = Stream | Matrix | Cache
