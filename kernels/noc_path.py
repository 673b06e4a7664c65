"""Messages on reserved channels: circuits, compile-time slots, and trees that replicate or combine on the way.

A channel is a row of `free_cycle`: the first cycle in which it can take a flit. Paths are lists of channels, one after
the other in `path`, those of message i from path_first[i] to path_first[i + 1].
"""

from __future__ import annotations

from dieshot.kernels.jit import Rows, part_of_loop, timing_loop

LIMIT = 1 << 61  # sums of two such numbers still fit
IN_ORDER = -1
NO_SLOT = -1


@timing_loop("int64(int64, int64[::1], int64[:, ::1], int64[::1], int64[::1], int64[:, ::1])")
def reserve_circuits(
    hop_cycles: int, free_cycle: Rows, messages: Rows, path_first: Rows, path: Rows, delivered: Rows
) -> int:
    """Set up and tear down one circuit for every message, in the order given.

    messages (n, 2): cycle of creation, flits. delivered (n, 2): cycle in which the first flit enters the first channel,
    and in which the last flit leaves the last. Once all channels of a path are free a probe sets it up and an answer
    comes back (two passages); they stay taken until the last flit has left the path. Returns IN_ORDER, or the index of
    a message whose times are out of range.
    """
    for i in range(messages.shape[0]):
        start = messages[i, 0]
        first = path_first[i]
        n_hops = path_first[i + 1] - first
        if not 0 <= start <= LIMIT or not 1 <= messages[i, 1] <= LIMIT // 4 or hop_cycles > LIMIT // 16 // n_hops:
            return i
        for k in range(n_hops):
            start = max(start, free_cycle[path[first + k]])
        start += 2 * n_hops * hop_cycles
        end = start + n_hops * hop_cycles + messages[i, 1] - 1
        if end > LIMIT:
            return i
        for k in range(n_hops):
            free_cycle[path[first + k]] = end + 1
        delivered[i, 0] = start
        delivered[i, 1] = end
    return IN_ORDER


@part_of_loop
def last_clash(start: int, flits: int, channel: int, taken: Rows) -> int:
    """Return the last flit whose slot from `start` on is taken, or -1."""
    for f in range(flits - 1, -1, -1):
        if taken[channel, (start + f) & (taken.shape[1] - 1)] == start + f:
            return f
    return -1


@timing_loop("int64(int64, int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], int64[:, ::1])")
def schedule_slots(hop_cycles: int, taken: Rows, messages: Rows, path_first: Rows, path: Rows, delivered: Rows) -> int:
    """Give every message the earliest free slots, so that at run time no flit ever waits.

    messages (n, 2): cycle of creation (ascending), flits. taken (channels, window): the cycle that holds slot cycle mod
    window, a power of two; -1 at first. Flit f passes channel k of its path in cycle start + k * hop_cycles + f.
    delivered as in `reserve_circuits`, NO_SLOT where nothing is free within the window. Returns IN_ORDER, or the index
    of a message whose times are out of range or order.
    """
    window = taken.shape[1]
    for i in range(messages.shape[0]):
        created = messages[i, 0]
        flits = messages[i, 1]
        first = path_first[i]
        n_hops = path_first[i + 1] - first
        if not 0 <= created <= LIMIT or not 1 <= flits <= LIMIT or not 0 <= hop_cycles <= LIMIT // (n_hops + 1):
            return i
        if i > 0 and messages[i - 1, 0] > created:
            return i
        last_start = created + window - (n_hops - 1) * hop_cycles - flits
        start = created
        k = 0
        while k < n_hops and start <= last_start:
            clash = last_clash(start + k * hop_cycles, flits, path[first + k], taken)
            k = k + 1 if clash < 0 else 0
            # No start up to the clash can do; the channels before are asked again.
            start = start if clash < 0 else start + clash + 1
        if start > last_start:
            delivered[i, 0] = NO_SLOT
            delivered[i, 1] = NO_SLOT
            continue
        for k in range(n_hops):
            for cycle in range(start + k * hop_cycles, start + k * hop_cycles + flits):
                taken[path[first + k], cycle & (window - 1)] = cycle
        delivered[i, 0] = start
        delivered[i, 1] = start + n_hops * hop_cycles + flits - 1
    return IN_ORDER


@timing_loop("int64(int64, int64, int64, int64, int64[::1], int64[:, ::1], int64[::1])")
def multicast(
    start_cycle: int, flits: int, hop_cycles: int, root: int, free_cycle: Rows, tree: Rows, arrival: Rows
) -> int:
    """Send flits from `root` down a tree whose forks copy each flit to all their branches.

    tree (n, 3): parent node, child node, channel; parents before their children. arrival (nodes): cycle in which the
    first flit is at a node; the last comes flits - 1 later. A branch whose channel is taken waits alone: its fork
    holds the flits. Returns IN_ORDER or the index of an edge whose times are out of range.
    """
    arrival[root] = start_cycle
    for i in range(tree.shape[0]):
        channel = tree[i, 2]
        ready = arrival[tree[i, 0]]
        in_range = 0 <= ready <= LIMIT and 0 <= free_cycle[channel] <= LIMIT
        if not in_range or not 1 <= flits <= LIMIT or not 0 <= hop_cycles <= LIMIT:
            return i
        start = max(ready, free_cycle[channel])
        free_cycle[channel] = start + flits
        arrival[tree[i, 1]] = start + hop_cycles
    return IN_ORDER


@timing_loop("int64(int64, int64, int64, int64[::1], int64[:, ::1], int64[::1], int64[::1])")
def reduce_tree(
    flits: int, hop_cycles: int, combine_cycles: int, free_cycle: Rows, tree: Rows, n_inputs: Rows, ready: Rows
) -> int:
    """Combine flits up a tree, flit by flit: a node sends its k-th once it has the k-th of all that it combines.

    tree (n, 3): parent node, child node, channel; every child before its parent is one. n_inputs (nodes): in, 1 for a
    node with flits of its own; out, how many it combined. ready (nodes): in, the cycle of a node's own first flit
    (0 without); out, that of the last first flit it waited for. A node with more than one input needs `combine_cycles`.
    Returns IN_ORDER or the index of an edge whose times are out of range.
    """
    for i in range(tree.shape[0]):
        parent = tree[i, 0]
        child = tree[i, 1]
        channel = tree[i, 2]
        in_range = 0 <= ready[child] <= LIMIT and 0 <= free_cycle[channel] <= LIMIT and 1 <= flits <= LIMIT
        if not in_range or not 0 <= hop_cycles <= LIMIT or not 0 <= combine_cycles <= LIMIT:
            return i
        combined = ready[child] + combine_cycles if n_inputs[child] > 1 else ready[child]
        start = max(combined, free_cycle[channel])
        free_cycle[channel] = start + flits
        ready[parent] = max(ready[parent], start + hop_cycles)
        n_inputs[parent] += 1
    return IN_ORDER
