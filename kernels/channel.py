"""One serial link to the flit: serialisation, codewords of an error code, flight, a receiver's buffer and its credits.

Times are integers of one unit (fs or cycles); nothing here knows which.
"""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

I_ARRIVAL = 0
I_SENDER = 1
I_FLITS = 2
N_ITEM = 3
S_WIRE = 0  # when the last flit has left
S_DRAIN = 1  # when the receiver has taken the last flit out of its buffer
S_SLOT = 2  # buffer slot of the next flit
S_BUSY = 3  # time with flits on the wire
S_BLOCKED = 4  # time with a flit ready, the wire free, and no credit
S_LAST_ARRIVAL = 5
S_ITEM = 6  # item at which a call ended in an error
N_STATE = 7
DONE = 0
NOT_IN_ORDER = 1
NO_FLITS = 2
NO_SUCH_SENDER = 3
LARGER_THAN_BUFFER = 4
TIME_TOO_LARGE = 5
LIMIT = 1 << 62
LARGEST_STEP = 1 << 53


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64[::1], int64[::1], int64[::1], int64[:, ::1], "
    "int64[::1], int64[::1])"
)
def carry(
    flit_time: int,
    block_time: int,
    latency: int,
    drain_time: int,
    credit_time: int,
    whole_packets: int,
    state: Rows,
    returned: Rows,
    sent: Rows,
    items: Rows,
    started: Rows,
    finished: Rows,
) -> int:
    """Carry items (n, N_ITEM: arrival, sender, flits; by arrival) over the link, first come first served.

    flit_time: a flit on the wire. block_time: a codeword on the wire (0: no code); codewords follow each other
    without a gap, idle or not, and a flit counts as received with the end of its codeword. latency: end of codeword
    to receiver's buffer. drain_time: the receiver takes one flit in that time. credit_time: flit taken to credit back
    at the sender. whole_packets: an item starts only when all its flits have credits (packet level), else flit by
    flit. state (N_STATE); returned (credits): when each slot's credit is back; sent (senders): flits of each.
    started, finished (n): first flit on the wire, last flit taken. Returns a status; the item is in state[S_ITEM].
    """
    n_credits = returned.shape[0]
    if max(flit_time, block_time, latency, drain_time, credit_time) > LARGEST_STEP:
        return TIME_TOO_LARGE
    wire, drain, slot = state[S_WIRE], state[S_DRAIN], state[S_SLOT]
    busy, blocked = state[S_BUSY], state[S_BLOCKED]
    status = DONE
    for i in range(items.shape[0]):
        arrival, sender, n_flits = items[i, I_ARRIVAL], items[i, I_SENDER], items[i, I_FLITS]
        if arrival < state[S_LAST_ARRIVAL]:
            status = NOT_IN_ORDER
        elif n_flits < 1:
            status = NO_FLITS
        elif sender < 0 or sender >= sent.shape[0]:
            status = NO_SUCH_SENDER
        elif whole_packets and n_flits > n_credits:
            status = LARGER_THAN_BUFFER
        elif arrival > LIMIT:
            status = TIME_TOO_LARGE
        if status != DONE:
            state[S_ITEM] = i
            break
        state[S_LAST_ARRIVAL] = arrival
        ready = max(arrival, wire)
        go = ready
        if whole_packets:  # credits come back in order: the last flit's is the last
            last = slot + n_flits - 1
            go = max(go, returned[last - n_credits if last >= n_credits else last])
        for flit in range(n_flits):
            go = max(go, returned[slot])
            blocked += go - ready
            if flit == 0:
                started[i] = go
            wire = go + flit_time
            end = wire
            if block_time > 0:
                end = (wire + block_time - 1) // block_time * block_time
            drain = max(end + latency, drain) + drain_time
            returned[slot] = drain + credit_time
            slot = slot + 1 if slot + 1 < n_credits else 0
            if drain > LIMIT:
                state[S_ITEM] = i
                return TIME_TOO_LARGE
            go = wire
            ready = wire
        busy += n_flits * flit_time
        sent[sender] += n_flits
        finished[i] = drain
    state[S_WIRE], state[S_DRAIN], state[S_SLOT] = wire, drain, slot
    state[S_BUSY], state[S_BLOCKED] = busy, blocked
    return status
