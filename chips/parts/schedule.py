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


@dataclass
class Plan:
    """Transfers written down in an order that keeps every dependency; blocks are numbered chunk by chunk."""

    n_ranks: int
    block_bytes: tuple[int, ...]
    transfers: list[Transfer] = field(default_factory=list)
    gates: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _current: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)

    def move(self, source: int, destination: int, block: int, reduces: bool = False, own: bool = False) -> None:
        """Send a block as soon as the source has its copy."""
        gate = self.gates.get(source, ())
        after = gate if own else self._current.get((source, block), gate)
        here = (len(self.transfers),)
        size = self.block_bytes[block]
        self.transfers.append(Transfer(source, destination, block, size, reduces, own, after))
        before = self._current.get((destination, block), self.gates.get(destination, ())) if reduces else ()
        self._current[destination, block] = before + here

    def open_gates(self, blocks: range) -> None:
        """Let every rank begin what follows only when it has all that it gets of `blocks`."""
        ranks = (*range(self.n_ranks), SWITCH)
        self.gates = {
            rank: tuple(dict.fromkeys(i for block in blocks for i in self._current.get((rank, block), ())))
            for rank in ranks
        }


Algorithm = Callable[[Plan, range], None]


def ring_reduce_scatter(plan: Plan, blocks: range) -> None:
    """Pass partial sums round the ring; block i ends at rank i."""
    n = plan.n_ranks
    for step in range(n - 1):
        for rank in range(n):
            plan.move(rank, (rank + 1) % n, blocks[(rank - step - 1) % n], reduces=True)


def ring_all_gather(plan: Plan, blocks: range) -> None:
    """Pass block i on from rank i round the ring."""
    n = plan.n_ranks
    for step in range(n - 1):
        for rank in range(n):
            plan.move(rank, (rank + 1) % n, blocks[(rank - step) % n])


def ring_broadcast(plan: Plan, blocks: range) -> None:
    """Pass everything down a chain that starts at the root."""
    for rank in range(plan.n_ranks - 1):
        for block in blocks:
            plan.move(rank, rank + 1, block)


def ring_all_to_all(plan: Plan, blocks: range) -> None:
    """Pass what is for ranks further on to the neighbour; block s * n + d goes from rank s to rank d."""
    n = plan.n_ranks
    for hop in range(n - 1):
        for source in range(n):
            for distance in range(hop + 1, n):
                block = blocks[source * n + (source + distance) % n]
                plan.move((source + hop) % n, (source + hop + 1) % n, block)


def direct_reduce_scatter(plan: Plan, blocks: range) -> None:
    """Send block i to rank i, everybody starting with another neighbour."""
    n = plan.n_ranks
    for shift in range(1, n):
        for rank in range(n):
            plan.move(rank, (rank + shift) % n, blocks[(rank + shift) % n], reduces=True)


def direct_all_gather(plan: Plan, blocks: range) -> None:
    """Send block i from rank i to all others."""
    n = plan.n_ranks
    for shift in range(1, n):
        for rank in range(n):
            plan.move(rank, (rank + shift) % n, blocks[rank])


def direct_broadcast(plan: Plan, blocks: range) -> None:
    """Send everything from the root to every other."""
    for block in blocks:
        for rank in range(1, plan.n_ranks):
            plan.move(ROOT, rank, block)


def direct_all_to_all(plan: Plan, blocks: range) -> None:
    """Send block s * n + d from rank s to rank d, everybody starting with another neighbour."""
    n = plan.n_ranks
    for shift in range(1, n):
        for rank in range(n):
            plan.move(rank, (rank + shift) % n, blocks[rank * n + (rank + shift) % n])


def one_shot(plan: Plan, blocks: range) -> None:
    """All-reduce: everybody sends all it has to everybody, and everybody adds."""
    n = plan.n_ranks
    for shift in range(1, n):
        for rank in range(n):
            for block in blocks:
                plan.move(rank, (rank + shift) % n, block, reduces=True, own=True)


def _tree(ranks: Sequence[int], parent: int, links: list[tuple[int, int]]) -> None:
    """Add (parent, child) of the balanced in-order tree over `ranks`, parents first."""
    if ranks:
        middle = len(ranks) // 2
        links.append((parent, ranks[middle]))
        _tree(ranks[:middle], ranks[middle], links)
        _tree(ranks[middle + 1 :], ranks[middle], links)


def double_tree(ranks: Sequence[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the links (parent, child), parents first, of two binary trees; the leaves of one carry the other.

    The first link of each comes from SWITCH, which stands for nobody: it names the tree's root.
    """
    trees: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for tree, order in zip(trees, (ranks, [*ranks[1:], *ranks[:1]]), strict=True):
        _tree(order, SWITCH, tree)
    return trees


def tree_all_reduce(plan: Plan, blocks: range) -> None:
    """Add up towards the roots of two trees, each for half the blocks, and copy back down."""
    for half, ((_, _root), *links) in enumerate(double_tree(range(plan.n_ranks))):
        for parent, child in reversed(links):
            for block in blocks[half::2]:
                plan.move(child, parent, block, reduces=True)
        for parent, child in links:
            for block in blocks[half::2]:
                plan.move(parent, child, block)


def tree_broadcast(plan: Plan, blocks: range) -> None:
    """Feed two trees over the other ranks, each with half the blocks."""
    for half, ((_, root), *links) in enumerate(double_tree(range(1, plan.n_ranks))):
        for parent, child in [(ROOT, root), *links]:
            for block in blocks[half::2]:
                plan.move(parent, child, block)


def _halving(plan: Plan, blocks: range, n_active: int) -> None:
    distance = n_active // 2
    while distance:
        for rank in range(n_active):
            for i, block in enumerate(blocks):
                owner = i * n_active // len(blocks)
                if (owner ^ rank) // distance == 1:  # same half so far, other half now
                    plan.move(rank, rank ^ distance, block, reduces=True)
        distance //= 2


def _doubling(plan: Plan, blocks: range, n_active: int) -> None:
    distance = 1
    while distance < n_active:
        for rank in range(n_active):
            for i, block in enumerate(blocks):
                if (i * n_active // len(blocks) ^ rank) < distance:
                    plan.move(rank, rank ^ distance, block)
        distance *= 2


def recursive_all_reduce(plan: Plan, blocks: range) -> None:
    """Reduce-scatter by halving, all-gather by doubling; ranks beyond a power of two hand over first and get back."""
    n_active = 1 << (plan.n_ranks.bit_length() - 1)
    extra = range(n_active, plan.n_ranks)
    for rank in extra:
        for block in blocks:
            plan.move(rank, rank - n_active, block, reduces=True)
    _halving(plan, blocks, n_active)
    _doubling(plan, blocks, n_active)
    for rank in extra:
        for block in blocks:
            plan.move(rank - n_active, rank, block)


def recursive_reduce_scatter(plan: Plan, blocks: range) -> None:
    """Halve the distance and the data at every step; for a power of two ranks."""
    _halving(plan, blocks, plan.n_ranks)


def recursive_all_gather(plan: Plan, blocks: range) -> None:
    """Double the distance and the data at every step; for a power of two ranks."""
    _doubling(plan, blocks, plan.n_ranks)


def recursive_broadcast(plan: Plan, blocks: range) -> None:
    """Binomial tree: who has it sends to as many others at every step."""
    distance = 1 << (plan.n_ranks - 1).bit_length() - 1
    while distance:
        for rank in range(0, plan.n_ranks - distance, 2 * distance):
            for block in blocks:
                plan.move(rank, rank + distance, block)
        distance //= 2


def switch_reduce_scatter(plan: Plan, blocks: range) -> None:
    """The switch adds block i of all ranks and sends the sum to rank i."""
    for owner, block in enumerate(blocks):
        for rank in range(plan.n_ranks):
            plan.move(rank, SWITCH, block, reduces=True, own=True)
        plan.move(SWITCH, owner, block)


def switch_all_gather(plan: Plan, blocks: range) -> None:
    """Rank i sends block i once; the switch copies it to all others."""
    for owner, block in enumerate(blocks):
        plan.move(owner, SWITCH, block)
        for rank in range(plan.n_ranks):
            if rank != owner:
                plan.move(SWITCH, rank, block)


def switch_broadcast(plan: Plan, blocks: range) -> None:
    """The root sends once; the switch copies."""
    for block in blocks:
        plan.move(ROOT, SWITCH, block)
        for rank in range(1, plan.n_ranks):
            plan.move(SWITCH, rank, block)


def _then(first: Algorithm, second: Algorithm) -> Algorithm:
    def both(plan: Plan, blocks: range) -> None:
        first(plan, blocks)
        second(plan, blocks)

    return both


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
ALGORITHMS["all-reduce"]["two-shot"] = ALGORITHMS["all-reduce"]["direct"]
POWER_OF_TWO = {("reduce-scatter", "recursive"), ("all-gather", "recursive")}


def schedule(collective: str, algorithm: str, n_ranks: int, bytes_: int, n_chunks: int = 1, depth: int = 0) -> Plan:
    """Return the transfers of a collective of `bytes_` (what one rank holds in the end, or at the start if it is more).

    The data is cut into `n_chunks`, each cut into a block a rank (a block a pair of ranks in an all-to-all). depth:
    how many chunks a rank has under way at once (0: all). KeyError for an unknown name; ValueError for numbers that
    the algorithm cannot do.
    """
    write = ALGORITHMS[collective][algorithm]
    if n_ranks < 2 or bytes_ < 1 or n_chunks < 1 or depth < 0:
        raise ValueError(f"a collective of {n_ranks} ranks, {bytes_} bytes, {n_chunks} chunks, depth {depth}")
    if (collective, algorithm) in POWER_OF_TWO and n_ranks & (n_ranks - 1):
        raise ValueError(f"recursive {collective} needs a power of two ranks, not {n_ranks}")
    n_blocks = n_chunks * n_ranks
    sizes = [bytes_ * (i + 1) // n_blocks - bytes_ * i // n_blocks for i in range(n_blocks)]
    copies = n_ranks if collective == "all-to-all" else 1
    per_chunk = n_ranks * copies
    blocks = [size for i in range(n_chunks) for size in sizes[i * n_ranks : (i + 1) * n_ranks] * copies]
    plan = Plan(n_ranks, tuple(blocks))
    for chunk in range(n_chunks):
        if depth and chunk >= depth:
            plan.open_gates(range((chunk - depth) * per_chunk, (chunk - depth + 1) * per_chunk))
        write(plan, range(chunk * per_chunk, (chunk + 1) * per_chunk))
    return plan
