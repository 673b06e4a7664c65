"""Collectives among cards: bridges join pairs, the fabric the cards of a server, network cards the servers.

Every algorithm that suits is carried out on the links, transfer by transfer, and the fastest one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import simpy

from dieshot.chips.parameters.dimc import CardLinks
from dieshot.chips.parts.dimc.program import Exchange, Interval
from dieshot.chips.parts.links.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.links.schedule import Plan, Transfer, direct_all_gather, direct_reduce_scatter, one_shot
from dieshot.kernels.collective import MIB
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.clock import transfer_fs
from dieshot.simulator.params import LinkParameters

Edge = tuple[int, int, dict[str, int]]
Algorithm = Callable[[Plan], None]


@dataclass(frozen=True)
class CardGraph:
    """Cards 0 .. n - 1 in servers: a switch -1 - s in each, and -1 - n_servers between them."""

    cards: CardLinks
    fabric: LinkParameters | None
    n_cards: int

    @property
    def n_servers(self) -> int:
        """Servers in use."""
        return -(-self.n_cards // self.cards.cards_per_server)

    @property
    def widths(self) -> tuple[int, ...]:
        """Cards that a bridge joins, pairs in a server, servers: how many of each a group of cards is made of."""
        joined = self.cards.cards_per_bridge if self.cards.bridge else 1
        pair = joined if self.n_cards % joined == 0 else 1
        in_server = min(self.n_cards, self.cards.cards_per_server)
        return pair, in_server // pair, self.n_cards // in_server

    def link_of(self, a: int, b: int) -> str:
        """Return which kind of link an edge is."""
        return "bridge" if a >= 0 and b >= 0 else "fabric" if a >= 0 or b >= 0 else "nic"

    def edges(self, data: bool = True) -> Iterator[Edge]:
        """Yield from, to and times of every directed link."""
        cards, server, pair = self.cards, self.cards.cards_per_server, self.widths[0]
        for card in range(self.n_cards):
            first = card // pair * pair
            for mate in range(first, min(first + pair, self.n_cards)):
                if mate != card and cards.bridge is not None:
                    yield card, mate, _times(cards.bridge, 1, cards.bridge.n_links)
            if self.fabric is not None:
                switch = -1 - card // server
                yield card, switch, _times(self.fabric, 2, self.fabric.n_links)
                yield switch, card, _times(self.fabric, 2, self.fabric.n_links)
        if self.n_servers > 1 and cards.nic is not None:
            between = -1 - self.n_servers
            for number in range(self.n_servers):
                yield -1 - number, between, _times(cards.nic, 2, cards.nic.n_links * cards.nics)
                yield between, -1 - number, _times(cards.nic, 2, cards.nic.n_links * cards.nics)


def _times(link: LinkParameters, hops: int, n_links: int) -> dict[str, int]:
    rate = int(n_links * link.rate * link.protocol_efficiency)
    return {"fs_per_mib": transfer_fs(MIB, rate), "latency_fs": link.hop_latency // hops}


def _digits(card: int, widths: Sequence[int]) -> tuple[int, ...]:
    found = []
    for width in widths:
        found.append(card % width)
        card //= width
    return tuple(found)


def _peers(n_cards: int, widths: Sequence[int], level: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of cards that differ in one digit only, everybody starting with another neighbour."""
    step = 1
    for width in widths[:level]:
        step *= width
    for shift in range(1, widths[level]):
        for card in range(n_cards):
            own = card // step % widths[level]
            yield card, card + ((own + shift) % widths[level] - own) * step


def level_by_level(widths: Sequence[int], n_whole: int) -> Algorithm:
    """Return an all-reduce: shares are added up among the cards of a bridge first, then in a server, then between
    servers, and handed out the other way. On the last `n_whole` levels everybody sends its whole share to everybody."""

    def plan_it(plan: Plan) -> None:
        n, blocks = plan.n_ranks, range(len(plan.block_bytes))
        cut = len(widths) - n_whole
        owner = [_digits(block, widths) for block in blocks]
        digits = [_digits(card, widths) for card in range(n)]
        for level in range(cut):
            for card, peer in _peers(n, widths, level):
                for block in blocks:
                    if owner[block][:level] == digits[card][:level] and owner[block][level] == digits[peer][level]:
                        plan.move(card, peer, block, reduces=True)
        for level in range(cut, len(widths)):
            plan.open_gates(blocks)
            for card, peer in _peers(n, widths, level):
                for block in blocks:
                    if owner[block][:cut] == digits[card][:cut]:
                        plan.move(card, peer, block, reduces=True, own=True)
        for level in reversed(range(cut)):
            for card, peer in _peers(n, widths, level):
                for block in blocks:
                    if owner[block][: level + 1] == digits[card][: level + 1]:
                        plan.move(card, peer, block)

    return plan_it


def gather_by_level(widths: Sequence[int]) -> Algorithm:
    """Return an all-gather: between servers first, then in a server, then over bridges."""

    def plan_it(plan: Plan) -> None:
        blocks = range(len(plan.block_bytes))
        owner = [_digits(block, widths) for block in blocks]
        digits = [_digits(card, widths) for card in range(plan.n_ranks)]
        for level in reversed(range(len(widths))):
            for card, peer in _peers(plan.n_ranks, widths, level):
                for block in blocks:
                    if owner[block][: level + 1] == digits[card][: level + 1]:
                        plan.move(card, peer, block)

    return plan_it


def _flat(*parts: Callable[[Plan, Sequence[int]], None]) -> Algorithm:
    def plan_it(plan: Plan) -> None:
        for part in parts:
            part(plan, range(len(plan.block_bytes)))

    return plan_it


def _whole_to_next(plan: Plan) -> None:
    """Every card of one stage sends all to its peer in the next."""
    half = plan.n_ranks // 2
    plan.transfers += [
        Transfer(card, card + half, block, size, False, True, ())
        for card in range(half)
        for block, size in enumerate(plan.block_bytes)
    ]


def _shares_to_next(plan: Plan) -> None:
    """Every card of one stage sends its share to its peer in the next, whose cards hand the shares round."""
    half = plan.n_ranks // 2
    for card in range(half):
        plan.move(card, card + half, card, own=True)
    for shift in range(1, half):
        for card in range(half):
            plan.move(half + card, half + (card + shift) % half, card)


@dataclass
class CardCollectives:
    """The collectives of a stage of `group` cards; kept by kind and bytes.

    A stage and the next one are taken to be in one server where both fit into one: of the sends of several small stages
    those that leave a server are so told too fast, by what a network card takes.
    """

    cards: CardLinks
    fabric: LinkParameters | None
    group: int
    add_fs_per_mib: int

    def __post_init__(self) -> None:
        self._known: dict[tuple[str, int, int], Exchange] = {}

    def carry_out(self, kind: str, n_bytes: int, group: int, name: str) -> Exchange:
        """Return a collective as the fastest algorithm has it; UnsupportedError where nothing joins the cards."""
        key = (kind, n_bytes, group)
        if key not in self._known:
            n_cards = 2 * self.group if kind == "send_recv" else group
            graph = CardGraph(self._between(kind), self.fabric, n_cards)
            if (graph.n_servers > 1 and self.cards.nic is None) or (n_cards > 1 and self.fabric is None):
                raise UnsupportedError(f"operator {name} is among {n_cards} cards, and nothing joins them")
            trials = [self._trial(graph, label, plan) for label, plan in self._plans(kind, n_bytes, graph)]
            self._known[key] = min(trials, key=lambda trial: trial.duration_fs)
        return self._known[key]

    def _between(self, kind: str) -> CardLinks:
        """Return the links of a collective: a stage that is a part of a pair has its next one behind no bridge."""
        alone = kind == "send_recv" and self.group % self.cards.cards_per_bridge
        return replace(self.cards, bridge=None) if alone else self.cards

    def _plans(self, kind: str, n_bytes: int, graph: CardGraph) -> Iterator[tuple[str, Plan]]:
        n, widths = graph.n_cards, graph.widths
        per_server = widths[0] * widths[1]
        if n % per_server or per_server % widths[0]:
            raise UnsupportedError(f"{n} cards do not fill pairs and servers of {per_server}")
        if kind == "send_recv":
            yield "whole", _planned(n, n_bytes, 1, _whole_to_next)
            if n > 2:
                yield "shares", _planned(n, n_bytes, n // 2, _shares_to_next)
        elif kind == "all_gather":
            yield "level by level", _planned(n, n_bytes, n, gather_by_level(widths))
            yield "direct", _planned(n, n_bytes, n, _flat(direct_all_gather))
        else:
            levels = [width for width in widths if width > 1]
            for n_whole in range(2):
                yield f"level by level, {n_whole} whole", _planned(n, n_bytes, n, level_by_level(levels, n_whole))
            if graph.n_servers == 1:
                yield "direct", _planned(n, n_bytes, n, _flat(direct_reduce_scatter, direct_all_gather))
                yield "one shot", _planned(n, n_bytes, 1, _flat(one_shot))

    def _trial(self, graph: CardGraph, label: str, plan: Plan) -> Exchange:
        env = simpy.Environment()
        network = LinkNetwork(env, graph)
        costs = EndpointCosts(self.cards.send, self.add_fs_per_mib)
        running = Collective(env, label, network, plan, costs)
        env.run(until=running.process)
        sends = _sends(graph, network, plan, running, self.cards.send)
        return Exchange(label, int(env.now), sends)


def _planned(n: int, n_bytes: int, n_blocks: int, algorithm: Algorithm) -> Plan:
    sizes = tuple(n_bytes * (i + 1) // n_blocks - n_bytes * i // n_blocks for i in range(n_blocks))
    plan = Plan(n, sizes, range(n))
    algorithm(plan)
    return plan


def _sends(
    graph: CardGraph, network: LinkNetwork, plan: Plan, running: Collective, send_fs: int
) -> tuple[Interval, ...]:
    """Return what card 0 sends over each kind of link, first come first served; of links that a server's cards share
    its part."""
    times = {(a, b): data for a, b, data in graph.edges()}
    waiting: dict[str, list[tuple[int, int, int]]] = {}
    for transfer, begin_fs in zip(plan.transfers, running.begin_fs, strict=True):
        at_fs = begin_fs + send_fs
        for edge in network.links(transfer.source, transfer.destination):
            kind = graph.link_of(*edge)
            if edge[0] == 0 or (kind == "nic" and edge[0] == -1):
                waiting.setdefault(kind, []).append((at_fs, transfer.bytes, times[edge]["fs_per_mib"]))
            at_fs += times[edge]["latency_fs"]
    found: list[Interval] = []
    shared = min(graph.n_cards, graph.cards.cards_per_server)
    for kind, items in waiting.items():
        free_fs, n_before = 0, 0
        for at_fs, n_bytes, fs_per_mib in sorted(items):
            start_fs = max(at_fs, free_fs)
            free_fs = start_fs + n_bytes * fs_per_mib // MIB
            n_after = n_before + n_bytes
            own = n_after // shared - n_before // shared if kind == "nic" else n_bytes
            n_before = n_after
            found.append((kind, start_fs, free_fs, own))
    return tuple(sorted(found, key=lambda each: each[1]))
