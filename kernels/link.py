"""Messages between chips through one switch: every chip's egress and ingress serialise, first come first served."""

from __future__ import annotations

from dieshot.kernels.interval import emit
from dieshot.kernels.jit import Rows, part_of_loop, timing_loop

BUSY = 1
MIB = 1 << 20
EGRESS = 0
INGRESS = 1


@part_of_loop
def _moving_fs(bytes_: int, fs_per_mib: int) -> int:
    """Return how long bytes are on the wire; in two parts, so that only the result must fit 64 bits."""
    return bytes_ // MIB * fs_per_mib + bytes_ % MIB * fs_per_mib // MIB


@timing_loop("int64(int64, int64, int64, int64[:, ::1], int64, int64, int64, int64[:, ::1], int64, int64[:, ::1])")
def _occupy(
    side: int,
    ready_fs: int,
    bytes_: int,
    free: Rows,
    rank: int,
    fs_per_mib: int,
    record: int,
    open_: Rows,
    n_log: int,
    log: Rows,
) -> int:
    """Take one direction of one chip's links; returns n_log. The end is left in free[rank, side]."""
    start = max(ready_fs, free[rank, side])
    end = start + _moving_fs(bytes_, fs_per_mib)
    free[rank, side] = end
    if record:
        n_log = emit(2 * rank + side, start, end, BUSY, bytes_, open_, n_log, log)
    return n_log


@timing_loop(
    "int64(int64, int64, int64, int64[:, ::1], int64, int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1])"
)
def send_messages(
    hop_fs: int,
    fs_per_mib: int,
    record: int,
    messages: Rows,
    n_messages: int,
    free: Rows,
    finish_fs: Rows,
    open_: Rows,
    log: Rows,
) -> int:
    """Send messages (n, 4: ready fs, source, destination, bytes) in their order, cut-through.

    free (ranks, 2): when each direction of each chip is free. finish_fs (ranks): last byte at each destination, raised.
    Returns rows written to log (two lines a rank: egress, ingress).
    """
    n_log = 0
    for i in range(n_messages):
        source = messages[i, 1]
        destination = messages[i, 2]
        start = max(messages[i, 0], free[source, EGRESS])
        n_log = _occupy(EGRESS, start, messages[i, 3], free, source, fs_per_mib, record, open_, n_log, log)
        n_log = _occupy(
            INGRESS, start + hop_fs, messages[i, 3], free, destination, fs_per_mib, record, open_, n_log, log
        )
        finish_fs[destination] = max(finish_fs[destination], free[destination, INGRESS])
    return n_log


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1])"
)
def reduce_in_switch(
    ready_fs: int,
    hop_fs: int,
    fs_per_mib: int,
    record: int,
    piece_bytes: int,
    reduced_fs: Rows,
    free: Rows,
    finish_fs: Rows,
    open_: Rows,
    log: Rows,
) -> int:
    """All-reduce with the switch adding up: every chip owns a share of the pieces and fetches each one reduced.

    A fetch makes every chip send its copy to the switch and one sum arrive; the owner then stores it to all chips by
    multicast. Fetches run ahead of stores by as many pieces as hide the way there and back. reduced_fs (pieces,
    ranks) is scratch; finish_fs (ranks): last stored byte at each chip. Returns rows written to log.
    """
    n_pieces, n_ranks = reduced_fs.shape
    piece_fs = max(1, _moving_fs(piece_bytes, fs_per_mib))
    ahead = 1 + 2 * hop_fs // (piece_fs * n_ranks)
    n_log = 0
    for step in range(n_pieces + ahead):
        for owner in range(n_ranks):
            if step < n_pieces:
                at_switch = ready_fs
                for source in range(n_ranks):
                    n_log = _occupy(
                        EGRESS, ready_fs + hop_fs, piece_bytes, free, source, fs_per_mib, record, open_, n_log, log
                    )
                    at_switch = max(at_switch, free[source, EGRESS] - piece_fs + hop_fs)
                n_log = _occupy(INGRESS, at_switch, piece_bytes, free, owner, fs_per_mib, record, open_, n_log, log)
                reduced_fs[step, owner] = free[owner, INGRESS]
            if step >= ahead:
                stored = reduced_fs[step - ahead, owner]
                n_log = _occupy(EGRESS, stored, piece_bytes, free, owner, fs_per_mib, record, open_, n_log, log)
                arrival = free[owner, EGRESS] - piece_fs + hop_fs
                for destination in range(n_ranks):
                    n_log = _occupy(
                        INGRESS, arrival, piece_bytes, free, destination, fs_per_mib, record, open_, n_log, log
                    )
                    finish_fs[destination] = max(finish_fs[destination], free[destination, INGRESS])
    return n_log
