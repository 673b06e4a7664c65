"""Plain Python twin of chips/parts/collective.py: a heap of events, and who has whose contribution to what."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

MIB = 1 << 20
Link = tuple[int, int]


def finish_times(
    transfers: Sequence[Any],
    routes: Mapping[Link, Sequence[Link]],
    rates: Mapping[Link, tuple[int, int]],
    starts: Sequence[int],
    stored: bool,
    send: int = 0,
    adders: Mapping[int, tuple[Any, int]] | None = None,
) -> list[int]:
    """Return when every transfer is there and added; links and adders serve first come first.

    routes: links of (source, destination). rates: fs per MiB and latency of each link. starts: a transfer's own
    earliest time (it also waits for those before it). stored: whether a link waits for the last byte.
    send: time before a first byte leaves. adders: name and fs per MiB of what a transfer passes at last, by transfer.
    """
    free: dict[Any, int] = {}
    done: dict[int, int] = {}
    heap: list[tuple[int, int, int, int]] = []  # time at the next link, transfer, hop, when its last byte is there
    waiting = set(range(len(transfers)))
    while len(done) < len(transfers):
        for i in sorted(waiting):
            if all(before in done for before in transfers[i].after):
                waiting.remove(i)
                heapq.heappush(heap, (max([starts[i], *(done[b] for b in transfers[i].after)]) + send, i, 0, 0))
        now, i, hop, tail = heapq.heappop(heap)
        t = transfers[i]
        links = routes[t.source, t.destination]
        stations = [(link, *rates[link]) for link in links]
        if adders and i in adders:
            stations.append((*adders[i], 0))
        if hop == len(stations):
            done[i] = now
            continue
        at, fs_per_mib, latency = stations[hop]
        start = max(now, free.get(at, 0))
        free[at] = start + t.bytes * fs_per_mib // MIB  # others pass while it waits for the tail
        end = max(free[at], tail)
        is_last = hop + 1 >= len(links)
        heapq.heappush(heap, ((end if stored or is_last else start) + latency, i, hop + 1, end + latency))
    return [done[i] for i in range(len(transfers))]


def contributions(
    transfers: Sequence[Any], begin: Sequence[int], finish: Sequence[int], initial: Mapping[tuple[int, int], set[int]]
) -> dict[tuple[int, int], set[int]]:
    """Return whose contribution each (rank, block) holds in the end; AssertionError where one is added twice.

    A transfer carries what its source holds when it begins and lands when it finishes.
    """
    held = {key: set(value) for key, value in initial.items()}
    carried: dict[int, set[int]] = {}
    events = sorted([(finish[i], 0, i) for i in range(len(finish))] + [(begin[i], 1, i) for i in range(len(begin))])
    for _, is_begin, i in events:
        transfer = transfers[i]
        if is_begin:
            holder = initial if transfer.own else held
            carried[i] = set(holder.get((transfer.source, transfer.block), set()))
            continue
        here = held.setdefault((transfer.destination, transfer.block), set())
        assert carried[i], "nothing was sent"
        if transfer.reduces:
            assert not here & carried[i], "a contribution is added twice"
            here |= carried[i]
        else:
            held[transfer.destination, transfer.block] = set(carried[i])
    return held
