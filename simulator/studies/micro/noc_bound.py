"""What no network of wormhole routers can pass: the loads of its channels, and how often they can be given away.

Dally and Towles, Principles and Practices of Interconnection Networks, chapter 3: with fixed routes and a pattern each
channel carries a known share of the traffic, and the busiest is full first.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.studies.micro.noc_pattern import shares

Floats = NDArray[np.float64]


def channel_loads(network: Any, pattern: str, sides: tuple[int, ...]) -> Floats:
    """Return the flits a cycle on every channel when each terminal offers one flit a cycle."""
    t = importlib.import_module("dieshot.kernels.noc_table")
    n = network.n_terminals
    share = shares(pattern, n, sides)
    loads = np.zeros(len(network.channels))
    loads[:n] = 1
    sources, ends = np.nonzero(share)
    flow = share[sources, ends]
    at = network.wiring.terminals[sources]
    while len(at):
        channel = network.routes[at * n + ends] >> t.CLASS_BITS
        np.add.at(loads, channel, flow)
        at = network.channels[channel, t.C_TO]
        going = at >= 0
        at, ends, flow = at[going], ends[going], flow[going]
    return loads


def turnaround_cycles(network: Any, packet_flits: int) -> NDArray[np.int64]:
    """Return for how many cycles at least a packet keeps a virtual channel of each channel from all others.

    From winning it to its tail's departure; if its last credit must be back, then to that.
    """
    t = importlib.import_module("dieshot.kernels.noc_table")
    c, n = network.channels, network.n_terminals
    inner = c[:, t.C_FROM] >= 0
    sent = inner + packet_flits - 1  # a router's flit wins the switch in the cycle after, a terminal's leaves at once
    if not network.parameters.waits_for_tail_credit:
        return np.asarray(np.maximum(sent, 1))
    in_router = np.where(np.arange(len(c)) // n == 1, 0, 1)  # a terminal takes a flit at once, a router allocates twice
    return np.asarray(sent + c[:, t.C_FLIT_CYCLES] + in_router + c[:, t.C_CREDIT_CYCLES])


def bounds(network: Any, pattern: str, packet_flits: int, sides: tuple[int, ...]) -> dict[str, float]:
    """Return the rates (flits a cycle and terminal) that no load can pass, by channels and by virtual channels."""
    loads = channel_loads(network, pattern, sides)
    busy = loads > 0
    most = network.parameters.n_vcs * packet_flits / turnaround_cycles(network, packet_flits)
    return {
        "channel_bound_rate": float(1 / loads.max()),
        "bound_rate": float((np.minimum(1, most)[busy] / loads[busy]).min()),
    }
