"""A block with its weights in ROM, one cycle after the other: the slow twins of kernels/model_rom.py."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil


def multiply_select(
    ready: Sequence[int], n_parts: int, arrival: int, result: int, depth: int
) -> tuple[list[int], list[int]]:
    """Return the cycle of every group's forming, and that in which each group of columns is complete.

    Every cycle the former starts one group if it is ready and there is room on the way, and the lanes take one group of
    columns of the oldest group that has arrived.
    """
    formed: list[int] = []
    begun: list[int] = []
    left, now, done = 0, 0, [0] * n_parts

    def lanes_take() -> None:
        nonlocal left
        if left == 0 and len(begun) < len(formed) and formed[len(begun)] + arrival <= now:
            begun.append(now)
            left = n_parts

    while len(begun) < len(ready) or left:
        lanes_take()
        on_the_way = len(formed) - len(begun)
        free = not formed or formed[-1] < now
        if len(formed) < len(ready) and ready[len(formed)] <= now and on_the_way < depth and free:
            formed.append(now)
            lanes_take()
        if left:
            done[n_parts - left] = now + 1 + result
            left -= 1
        now += 1
    return formed, done


def stream(
    ready: Sequence[int], elements: Sequence[int], rate: int, special_rate: int, ops: int, specials: int, latency: int
) -> list[int]:
    """Return when each item has left a unit that does both kinds of operations at once, in exact fractions."""
    free, done = Fraction(0), []
    for at, n in zip(ready, elements, strict=True):
        free = max(free, Fraction(at)) + max(Fraction(n * ops, rate), Fraction(n * specials, special_rate))
        done.append(ceil(free) + latency)
    return done


def read_banks(
    n_words: int,
    first_word: int,
    n_banks: int,
    word_ready: Sequence[int],
    lane_ready: Sequence[int],
    lane_cycles: int,
    read_cycles: int,
    result_cycles: int,
    depth: int,
) -> list[int]:
    """Return when the result of every beat is there; beats are read whole, in their order."""
    read: list[int] = []
    begun: list[int] = []
    bank_free, lanes_free, now = [0] * n_banks, 0, 0
    while len(begun) < len(word_ready):
        beat = len(begun)
        while beat < len(read) and read[beat] + 1 + read_cycles <= now:
            if lane_cycles and (lanes_free > now or lane_ready[beat] > now):
                break
            begun.append(now)
            lanes_free = now + lane_cycles
            beat += 1
        beat = len(read)
        if beat < len(word_ready) and word_ready[beat] <= now and beat - len(begun) < depth:
            words = range(beat * n_banks, min(n_words, (beat + 1) * n_banks))
            banks = {(first_word + word) % n_banks for word in words}
            if all(bank_free[bank] <= now for bank in banks):
                read.append(now)
                for bank in banks:
                    bank_free[bank] = now + 1
        now += 1
    return [at + lane_cycles + result_cycles for at in begun]
