"""Banked SRAM cycle by cycle: the slow twin of kernels/sram.py."""

from __future__ import annotations

from typing import Any


def bank_of(word: int, n_banks: int, rotate: bool) -> int:
    row, place = divmod(word, n_banks)
    return (place + row) % n_banks if rotate else place


def words_of(address: int, access_bytes: int, width_bytes: int) -> list[int]:
    return sorted({byte // width_bytes for byte in range(address, address + access_bytes)})


def read_vectors(sram: Any, addresses: list[int]) -> tuple[list[int], int, int]:
    """Return the finish of every vector, words read, words shared: every cycle each port of each bank takes one."""
    now, finish, n_words, n_merged = 0, [], 0, 0
    for first in range(0, len(addresses), sram.n_lanes):
        wanted = [
            words_of(address, sram.access_bytes, sram.width_bytes)
            for address in addresses[first : first + sram.n_lanes]
        ]
        waiting: list[int] = []
        for lane, words in enumerate(wanted):
            for word in words:
                if sram.merge and any(word in earlier for earlier in wanted[:lane]):
                    n_merged += 1
                else:
                    waiting.append(word)
        n_words += len(waiting)
        while waiting:
            now += 1
            served = [0] * sram.n_banks
            left = []
            for word in waiting:
                bank = bank_of(word, sram.n_banks, sram.rotate)
                if served[bank] < sram.n_ports:
                    served[bank] += 1
                else:
                    left.append(word)
            waiting = left
        finish.append(now)
    return finish, n_words, n_merged


def read_one_by_one(sram: Any, arrivals: list[int], addresses: list[int]) -> list[int]:
    """Return the finish of every access; each bank is a queue from which its ports take the oldest words each cycle."""
    queue = [
        (i, bank_of(word, sram.n_banks, sram.rotate))
        for i, address in enumerate(addresses)
        for word in words_of(address, sram.access_bytes, sram.width_bytes)
    ]
    finish = [0] * len(addresses)
    now = 0
    while queue:
        served = [0] * sram.n_banks
        left = []
        for i, bank in queue:
            if arrivals[i] <= now and served[bank] < sram.n_ports:
                served[bank] += 1
                finish[i] = max(finish[i], now + 1 + sram.latency_cycles)
            else:
                left.append((i, bank))
        queue = left
        now += 1
    return finish
