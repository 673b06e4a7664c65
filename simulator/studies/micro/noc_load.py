"""Traffic for a network: packets by Bernoulli processes, one a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.noc_pattern import Rows, destinations
from dieshot.simulator.studies.micro.noc_topology import Topology

MOST_PACKETS = 200_000_000


@dataclass(frozen=True)
class Load:
    """Offered traffic: flits a cycle and terminal, flits a packet, pattern, cycles before and during measuring."""

    rate: float
    packet_flits: int
    pattern: str
    n_cycles: int
    warmup_cycles: int
    seed: int


def traffic(shape: Topology, load: Load) -> tuple[Rows, Rows]:
    """Return sources (n) and packets (n, 3: cycle, destination, flits), each terminal a Bernoulli process (PCG64)."""
    n = len(shape.terminals)
    horizon = load.warmup_cycles + 2 * load.n_cycles
    if n * horizon * load.rate / load.packet_flits > MOST_PACKETS:
        raise InputError("too much traffic", key="--cycles", value=load.n_cycles,
                         expected=f"at most {MOST_PACKETS} packets")  # fmt: skip
    random = np.random.Generator(np.random.PCG64(load.seed))
    chance = load.rate / load.packet_flits
    counts = random.binomial(horizon, chance, n)
    created = [np.sort(random.choice(horizon, count, replace=False, shuffle=False)) for count in counts.tolist()]
    sources = np.repeat(np.arange(n), counts)
    packets = np.empty((len(sources), 3), np.int64)
    packets[:, 0] = np.concatenate(created)
    packets[:, 1] = destinations(load.pattern, sources, n, shape.sides, random)
    packets[:, 2] = load.packet_flits
    return sources, packets
