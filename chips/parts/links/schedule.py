"""Schedules of collectives: who sends which block to whom after what, for every algorithm, apart from any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

SWITCH = -1  # the switch as a holder of blocks, where it adds and copies
ROOT = 0  # of a broadcast


@dataclass(frozen=True, slots=True)
class Transfer:
    """One block from one rank to another, once the transfers `after` are there.

    reduces: the destination adds it to its own copy, else keeps it in its place. own: the source sends what it had at
    the start, not what it has added up since.
    """

    source: int
    destination: int
    block: int
    bytes: int
    reduces: bool
    own: bool
    after: tuple[int, ...]


Message = tuple[int, int, Sequence[int]]  # source, destination, blocks


@dataclass
class Plan:
    """Transfers written down in an order that keeps every dependency; blocks are numbered chunk by chunk.

    order: the chip that acts as each rank.
    """

    n_ranks: int
    block_bytes: tuple[int, ...]
    order: Sequence[int]
    transfers: list[Transfer] = field(default_factory=list)
    gates: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _current: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)

    def move(self, source: int, destination: int, block: int, reduces: bool = False, own: bool = False) -> None:
        """Send a block from rank to rank as soon as the source has its copy; nothing is sent of an empty one."""
        source, destination = self._chip(source), self._chip(destination)
        gate = self.gates.get(source, ())
        self._send(source, destination, block, reduces, own, gate if own else self._there(source, block))

    def exchange(self, messages: Sequence[Message], chunk: Sequence[int], reduces: bool = False) -> None:
        """Send messages of a step, each of them when both ends have all of the chunk that came to them before."""
        chips = [(self._chip(source), self._chip(destination)) for source, destination, _ in messages]
        had = {
            chip: dict.fromkeys(i for block in chunk for i in self._there(chip, block))
            for pair in chips
            for chip in pair
        }
        for (source, destination), (_, _, blocks) in zip(chips, messages, strict=True):
            after = tuple(had[source] | had[destination])
            for block in blocks:
                self._send(source, destination, block, reduces, False, after)

    def _chip(self, rank: int) -> int:
        return rank if rank == SWITCH else self.order[rank]

    def _there(self, chip: int, block: int) -> tuple[int, ...]:
        """Return the transfers after which the chip has its copy of a block."""
        return self._current.get((chip, block), self.gates.get(chip, ()))

    def _send(
        self, source: int, destination: int, block: int, reduces: bool, own: bool, after: tuple[int, ...]
    ) -> None:
        size = self.block_bytes[block]
        if size:
            before = self._there(destination, block) if reduces else ()
            self._current[destination, block] = (*before, len(self.transfers))
            self.transfers.append(Transfer(source, destination, block, size, reduces, own, after))

    def open_gates(self, blocks: Sequence[int]) -> None:
        """Let every rank begin what follows only when it has all that it gets of `blocks`."""
        self.gates = {
            rank: tuple(dict.fromkeys(i for block in blocks for i in self._current.get((rank, block), ())))
            for rank in range(self.n_ranks)
        }


Algorithm = Callable[[Plan, Sequence[int]], None]


def ring_reduce_scatter(plan: Plan, blocks: Sequence[int]) -> None:
    """Pass partial sums round the ring; block i ends at rank i."""
    n = plan.n_ranks
    for step in range(n - 1):
        for rank in range(n):
            plan.move(rank, (rank + 1) % n, blocks[(rank - step - 1) % n], reduces=True)


def ring_all_gather(plan: Plan, blocks: Sequence[int]) -> None:
    """Pass block i on from rank i round the ring."""
    n = plan.n_ranks
    for step in range(n - 1):
        for rank in range(n):
            plan.move(rank, (rank + 1) % n, blocks[(rank - step) % n])


def ring_broadcast(plan: Plan, blocks: Sequence[int]) -> None:
    """Pass everything down a chain that starts at the root."""
    for rank in range(plan.n_ranks - 1):
        for block in blocks:
            plan.move(rank, rank + 1, block)


def ring_all_to_all(plan: Plan, blocks: Sequence[int]) -> None:
    """Pass what is for ranks further on to the neighbour; block s * n + d goes from rank s to rank d."""
    n = plan.n_ranks
    for hop in range(n - 1):
        for source in range(n):
            for distance in range(hop + 1, n):
                block = blocks[source * n + (source + distance) % n]
                plan.move((source + hop) % n, (source + hop + 1) % n, block)


def direct_reduce_scatter(plan: Plan, blocks: Sequence[int]) -> None:
    """Send block i to rank i, everybody starting with another neighbour."""
    n = plan.n_ranks
    for shift in range(1, n):
        for rank in range(n):
            plan.move(rank, (rank + shift) % n, blocks[(rank + shift) % n], reduces=True)


def direct_all_gather(plan: Plan, blocks: Sequence[int]) -> None:
    """Send block i from rank i to all others."""
    n = plan.n_ranks
    for shift in range(1, n):
        for rank in range(n):
            plan.move(rank, (rank + shift) % n, blocks[rank])


def direct_broadcast(plan: Plan, blocks: Sequence[int]) -> None:
    """Send everything from the root to every other."""
    for block in blocks:
        for rank in range(1, plan.n_ranks):
            plan.move(ROOT, rank, block)


def direct_all_to_all(plan: Plan, blocks: Sequence[int]) -> None:
    """Send block s * n + d from rank s to rank d, everybody starting with another neighbour."""
    n = plan.n_ranks
    for shift in range(1, n):
        for rank in range(n):
            plan.move(rank, (rank + shift) % n, blocks[rank * n + (rank + shift) % n])


def one_shot(plan: Plan, blocks: Sequence[int]) -> None:
    """All-reduce: everybody sends all it has to everybody, and everybody adds."""
    n = plan.n_ranks
    for shift in range(1, n):
        for rank in range(n):
            for block in blocks:
                plan.move(rank, (rank + shift) % n, block, reduces=True, own=True)


def _tree(ranks: Sequence[int], parent: int, links: list[tuple[int, int]]) -> None:
    """Add (parent, child) of the in-order tree over `ranks` in which every other one, from the first, is a leaf."""
    if ranks:
        root = (1 << len(ranks).bit_length() - 1) - 1  # the largest power of two, counted from one
        links.append((parent, ranks[root]))
        _tree(ranks[:root], ranks[root], links)
        _tree(ranks[root + 1 :], ranks[root], links)


def double_tree(ranks: Sequence[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the links (parent, child), parents first, of two binary trees; the leaves of one carry the other.

    The first link of each comes from SWITCH, which stands for nobody: it names the tree's root. Of an odd number of
    ranks one is a leaf in both (Sanders, Speck, Traeff: Two-tree algorithms, 2009).
    """
    trees: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for tree, order in zip(trees, (ranks, [*ranks[1:], *ranks[:1]]), strict=True):
        _tree(order, SWITCH, tree)
    return trees


def _half(blocks: Sequence[int], half: int) -> Sequence[int]:
    """Return every other block; of an odd number, chunks take turns in which half is larger."""
    return blocks[(half + blocks[0]) % 2 :: 2]


def tree_all_reduce(plan: Plan, blocks: Sequence[int]) -> None:
    """Add up towards the roots of two trees, each for half the blocks, and copy back down."""
    for half, ((_, _root), *links) in enumerate(double_tree(range(plan.n_ranks))):
        for parent, child in reversed(links):
            for block in _half(blocks, half):
                plan.move(child, parent, block, reduces=True)
        for parent, child in links:
            for block in _half(blocks, half):
                plan.move(parent, child, block)


def tree_broadcast(plan: Plan, blocks: Sequence[int]) -> None:
    """Feed two trees over the other ranks, each with half the blocks."""
    for half, ((_, root), *links) in enumerate(double_tree(range(1, plan.n_ranks))):
        for parent, child in [(ROOT, root), *links]:
            for block in _half(blocks, half):
                plan.move(parent, child, block)


def _halving(plan: Plan, blocks: Sequence[int], n_active: int) -> None:
    distance = n_active // 2
    while distance:
        step = []
        for rank in range(n_active):  # same half so far, other half now
            part = [each for i, each in enumerate(blocks) if (i * n_active // len(blocks) ^ rank) // distance == 1]
            step.append((rank, rank ^ distance, part))
        plan.exchange(step, blocks, reduces=True)
        distance //= 2


def _doubling(plan: Plan, blocks: Sequence[int], n_active: int) -> None:
    distance = 1
    while distance < n_active:
        step = []
        for rank in range(n_active):
            part = [each for i, each in enumerate(blocks) if (i * n_active // len(blocks) ^ rank) < distance]
            step.append((rank, rank ^ distance, part))
        plan.exchange(step, blocks)
        distance *= 2


def _n_active(n_ranks: int) -> int:
    """Return the largest power of two."""
    return 1 << n_ranks.bit_length() - 1


def recursive_all_reduce(plan: Plan, blocks: Sequence[int]) -> None:
    """Reduce-scatter by halving, all-gather by doubling; ranks beyond a power of two hand over first and get back."""
    n_active = _n_active(plan.n_ranks)
    extra = range(n_active, plan.n_ranks)
    plan.exchange([(rank, rank - n_active, blocks) for rank in extra], blocks, reduces=True)
    _halving(plan, blocks, n_active)
    _doubling(plan, blocks, n_active)
    plan.exchange([(rank - n_active, rank, blocks) for rank in extra], blocks)


def recursive_reduce_scatter(plan: Plan, blocks: Sequence[int]) -> None:
    """Halve the distance and the data at every step; for a power of two ranks."""
    _halving(plan, blocks, plan.n_ranks)


def recursive_all_gather(plan: Plan, blocks: Sequence[int]) -> None:
    """Double the distance and the data at every step; for a power of two ranks."""
    _doubling(plan, blocks, plan.n_ranks)


def recursive_broadcast(plan: Plan, blocks: Sequence[int]) -> None:
    """Binomial tree: who has it sends to as many others at every step."""
    distance = 1 << (plan.n_ranks - 1).bit_length() - 1
    while distance:
        for rank in range(0, plan.n_ranks - distance, 2 * distance):
            for block in blocks:
                plan.move(rank, rank + distance, block)
        distance //= 2


def switch_reduce_scatter(plan: Plan, blocks: Sequence[int]) -> None:
    """The switch adds block i of all ranks and sends the sum to rank i."""
    for owner, block in enumerate(blocks):
        for rank in range(plan.n_ranks):
            plan.move(rank, SWITCH, block, reduces=True, own=True)
        plan.move(SWITCH, owner, block)


def switch_all_gather(plan: Plan, blocks: Sequence[int]) -> None:
    """Rank i sends block i once; the switch copies it to all others."""
    for owner, block in enumerate(blocks):
        plan.move(owner, SWITCH, block)
        for rank in range(plan.n_ranks):
            if rank != owner:
                plan.move(SWITCH, rank, block)


def switch_broadcast(plan: Plan, blocks: Sequence[int]) -> None:
    """The root sends once; the switch copies."""
    for block in blocks:
        plan.move(ROOT, SWITCH, block)
        for rank in range(1, plan.n_ranks):
            plan.move(SWITCH, rank, block)


def _then(first: Algorithm, second: Algorithm) -> Algorithm:
    def both(plan: Plan, blocks: Sequence[int]) -> None:
        first(plan, blocks)
        second(plan, blocks)

    return both


# In a double ring every other chunk goes round the other way.
ALGORITHMS: dict[str, dict[str, Algorithm]] = {
    "all-reduce": {
        "ring": _then(ring_reduce_scatter, ring_all_gather),
        "tree": tree_all_reduce,
        "recursive": recursive_all_reduce,
        "direct": _then(direct_reduce_scatter, direct_all_gather),
        "one-shot": one_shot,
        "in-switch": _then(switch_reduce_scatter, switch_all_gather),
    },
    "reduce-scatter": {
        "ring": ring_reduce_scatter,
        "recursive": recursive_reduce_scatter,
        "direct": direct_reduce_scatter,
        "in-switch": switch_reduce_scatter,
    },
    "all-gather": {
        "ring": ring_all_gather,
        "recursive": recursive_all_gather,
        "direct": direct_all_gather,
        "in-switch": switch_all_gather,
    },
    "broadcast": {
        "ring": ring_broadcast,
        "tree": tree_broadcast,
        "recursive": recursive_broadcast,
        "direct": direct_broadcast,
        "in-switch": switch_broadcast,
    },
    "all-to-all": {"ring": ring_all_to_all, "direct": direct_all_to_all},
}
for _algorithms in ALGORITHMS.values():
    _algorithms["double-ring"] = _algorithms["ring"]
ALGORITHMS["all-reduce"]["two-shot"] = ALGORITHMS["all-reduce"]["direct"]
POWER_OF_TWO = {("reduce-scatter", "recursive"), ("all-gather", "recursive")}
ONE_SHOT = "one-shot"
FOLDED = ("all-reduce", "recursive")  # on as many ranks as are a power of two


def schedule(
    collective: str,
    algorithm: str,
    n_ranks: int,
    bytes_: int,
    n_chunks: int = 1,
    depth: int = 0,
    order: Sequence[int] = (),
) -> Plan:
    """Return the transfers of a collective of `bytes_` (what one rank holds in the end, or at the start if it is more).

    The data is cut into `n_chunks`, each cut into a block a rank (a block a pair of ranks in an all-to-all; one a rank
    that halves in a recursive all-reduce; not cut in a one-shot). depth: how many chunks a rank has under way at once
    (0: all). order: chips as they follow each other in a ring, from chip 0. KeyError for an unknown name; ValueError
    for numbers that the algorithm cannot do.
    """
    write = ALGORITHMS[collective][algorithm]
    n = n_ranks
    if n < 2 or bytes_ < 1 or n_chunks < 1 or depth < 0:
        raise ValueError(f"a collective of {n} ranks, {bytes_} bytes, {n_chunks} chunks, depth {depth}")
    if (collective, algorithm) in POWER_OF_TWO and n & (n - 1):
        raise ValueError(f"recursive {collective} needs a power of two ranks, not {n}")
    order = tuple(order) if order and algorithm.endswith("ring") else tuple(range(n))
    if sorted(order) != list(range(n)) or order[ROOT] != ROOT:
        raise ValueError(f"an order of {n} ranks from 0, not {order}")
    turns = (order, (ROOT, *reversed(order[1:]))) if algorithm == "double-ring" else (order,)
    cuts = 1 if algorithm == ONE_SHOT else _n_active(n) if (collective, algorithm) == FOLDED else n
    copies = n if collective == "all-to-all" else 1
    n_blocks = n_chunks * cuts
    sizes = [bytes_ * (i + 1) // n_blocks - bytes_ * i // n_blocks for i in range(n_blocks)]
    per_chunk = cuts * copies
    plan = Plan(n, tuple(size for i in range(n_chunks) for size in sizes[i * cuts : (i + 1) * cuts] * copies), order)
    for chunk in range(n_chunks):
        if depth and chunk >= depth:
            plan.open_gates(range((chunk - depth) * per_chunk, (chunk - depth + 1) * per_chunk))
        plan.order = turns[chunk % len(turns)]
        write(plan, [chunk * per_chunk + block for block in _blocks(plan.order, cuts, copies)])
    return plan


def _blocks(order: Sequence[int], cuts: int, copies: int) -> list[int]:
    """Return the blocks of one chunk in the order of the ranks that they belong to."""
    if cuts < len(order):
        return list(range(cuts))
    return [a * cuts + b for a in (order if copies > 1 else (0,)) for b in order]


def n_transfers(collective: str, algorithm: str, n_ranks: int, n_chunks: int) -> int:
    """Return the transfers of a schedule, none of whose blocks is empty."""
    n = n_ranks
    if collective == "all-to-all":
        moves = n * (n - 1) if algorithm == "direct" else n * n * (n - 1) // 2
    elif algorithm == ONE_SHOT:
        moves = n * (n - 1)
    elif (collective, algorithm) == FOLDED:
        moves = 2 * (n - 1) * _n_active(n)
    elif algorithm == "in-switch":
        moves = n * {"all-reduce": 2 * n + 1, "reduce-scatter": n + 1}.get(collective, n)
    else:
        moves = n * (n - 1) * (2 if collective == "all-reduce" else 1)
    return moves * n_chunks
