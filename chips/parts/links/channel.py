"""A link by its layers: items go through the jitted loop, which is told integers only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dieshot.chips.parts.activity import Rows
from dieshot.kernels import channel
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LayerParameters, LinkParameters

PROBLEMS = {
    channel.NOT_IN_ORDER: "arrives before the item ahead of it",
    channel.NO_FLITS: "has no flits",
    channel.NO_SUCH_SENDER: "comes from a sender that there is not",
    channel.LARGER_THAN_BUFFER: "is larger than the receiver's buffer",
    channel.TIME_TOO_LARGE: "would end at or beyond 2**62 fs",
}
LEVELS = ("flit", "packet")


@dataclass(frozen=True, slots=True)
class ChannelTiming:
    """The times of a link (fs) and its buffer (flits); see kernels.channel.carry."""

    flit_bytes: int
    flit_fs: int
    block_fs: int
    latency_fs: int
    drain_fs: int
    credit_fs: int
    n_credits: int


def channel_timing(parameters: LinkParameters) -> ChannelTiming:
    """Return the times of one link, one direction, memory to memory; InputError where its layers are not told.

    A way through a switch is two wires; the second codeword is waited for in whole, as the first. Codewords hold
    whole flits.
    """
    layers = parameters.layers
    if layers is None:
        raise InputError(f"the link {parameters.name} does not tell its layers", key="layers", expected="a section")
    bits_per_s = int(layers.n_lanes * layers.lane_rate * layers.encoding)
    flit_fs = -(-layers.flit * 8 * FS_PER_SECOND // bits_per_s)
    block_fs = layers.fec_block // layers.flit * flit_fs if layers.fec_block else 0
    latency_fs = sum(layer_times(layers, _n_wires(parameters)).values()) + (_n_wires(parameters) - 1) * block_fs
    n_credits = layers.receiver_buffer // layers.flit
    if n_credits < 1:
        raise InputError("holds not even a flit", key="layers.receiver_buffer", expected=f"at least {layers.flit} B")
    return ChannelTiming(layers.flit, flit_fs, block_fs, latency_fs, 0, layers.credit_latency, n_credits)


def _n_wires(parameters: LinkParameters) -> int:
    return 2 if parameters.topology == "switch" else 1


def layer_times(layers: LayerParameters, n_wires: int) -> dict[str, int]:
    """Return how long a flit is in each layer (fs) from memory to memory, over one wire or two with a switch between.

    Neither the time on the wire itself nor that for the rest of a codeword is part of it.
    """
    return {
        "serdes": n_wires * layers.serdes_latency,
        "fec": n_wires * layers.fec_latency,
        "dsp": n_wires * 2 * (layers.dsp_latency or 0),
        "conversion": n_wires * (layers.conversion_latency or 0),
        "flight": n_wires * (layers.length * layers.flight_time_per_metre // 1000),
        "switch": (n_wires - 1) * layers.switch_latency,
        "endpoint": layers.endpoint_latency or 0,
    }


def idle_times(parameters: LinkParameters, n_flits: int) -> dict[str, int]:
    """Return what an item of so many flits waits for (fs) where it has the link to itself; InputError as above."""
    timing, layers = channel_timing(parameters), parameters.layers
    assert layers is not None
    on_wire_fs = n_flits * timing.flit_fs
    rest_fs = -on_wire_fs % timing.block_fs if timing.block_fs else 0
    codewords_fs = rest_fs + (_n_wires(parameters) - 1) * timing.block_fs
    return {"wire": on_wire_fs, "codeword": codewords_fs} | layer_times(layers, _n_wires(parameters))


class Channel:
    """One direction of one link with its state; carries batch after batch of items."""

    def __init__(self, name: str, timing: ChannelTiming, n_senders: int = 1, level: str = "flit") -> None:
        self.name = name
        self.timing = timing
        self.level = level
        self.sent_flits = np.zeros(n_senders, np.int64)
        self._state = np.zeros(channel.N_STATE, np.int64)
        self._returned = np.zeros(timing.n_credits, np.int64)

    @property
    def busy_fs(self) -> int:
        """How long flits were on the wire."""
        return int(self._state[channel.S_BUSY])

    @property
    def blocked_fs(self) -> int:
        """How long a flit was ready, the wire free, and no credit there."""
        return int(self._state[channel.S_BLOCKED])

    def carry(self, arrival_fs: Rows, sender: Rows, n_flits: Rows) -> tuple[Rows, Rows]:
        """Return when each item's first flit is on the wire and its last flit with the receiver (fs).

        InputError names the first item that cannot be carried.
        """
        items = np.column_stack([arrival_fs, sender, n_flits]).astype(np.int64)
        started, finished = np.empty(len(items), np.int64), np.empty(len(items), np.int64)
        t = self.timing
        status = channel.carry(
            t.flit_fs,
            t.block_fs,
            t.latency_fs,
            t.drain_fs,
            t.credit_fs,
            int(self.level == "packet"),
            self._state,
            self._returned,
            self.sent_flits,
            items,
            started,
            finished,
        )
        if status != channel.DONE:
            i = int(self._state[channel.S_ITEM])
            shown = f"item {i} of link {self.name} {PROBLEMS[status]}"
            raise InputError(shown, value=", ".join(str(part) for part in items[i]) if len(items) else "no item")
        return started, finished
