"""DRAM channels behind an even interleave: each request is cut into granules, each granule served by one channel in
turn."""

from __future__ import annotations

from dieshot.kernels.interval import emit
from dieshot.kernels.jit import Rows, timing_loop

BUSY = 1
MIB = 1 << 20

READ = 0
WRITE = 1


@timing_loop(
    "int64(int64, int64, int64, int64, int64[:, ::1], int64, int64[::1], int64[::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1])"
)
def advance_hbm(
    latency_fs: int,
    granule_bytes: int,
    fs_per_mib: int,
    record: int,
    requests: Rows,
    n_requests: int,
    channel_free_fs: Rows,
    regs: Rows,
    open_: Rows,
    fills: Rows,
    log: Rows,
) -> int:
    """Serve requests in their order, first come first served in every channel.

    requests (n, 4): time fs, bytes, READ or WRITE, tile. channel_free_fs (channels) and regs (3: next channel, bytes
    read, bytes written) are state. fills (capacity, 2): time at which a read's last byte leaves (latency included),
    tile. log as in kernels/interval.py, one line a channel. Returns n_fills * 2**32 + n_log.
    """
    n_channels = channel_free_fs.shape[0]
    channel = regs[0]
    n_fills = 0
    n_log = 0
    granule_fs = granule_bytes * fs_per_mib // MIB
    for i in range(n_requests):
        arrival = requests[i, 0]
        left = requests[i, 1]
        done = arrival
        while left > 0:
            piece = granule_bytes
            service = granule_fs
            if left < granule_bytes:
                piece = left
                service = left * fs_per_mib // MIB
            start = channel_free_fs[channel]
            if start < arrival:
                start = arrival
            end = start + service
            channel_free_fs[channel] = end
            if end > done:
                done = end
            if record:
                n_log = emit(channel, start, end, BUSY, piece, open_, n_log, log)
            channel += 1
            if channel == n_channels:
                channel = 0
            left -= piece
        if requests[i, 2] == READ:
            regs[1] += requests[i, 1]
            fills[n_fills, 0] = done + latency_fs
            fills[n_fills, 1] = requests[i, 3]
            n_fills += 1
        else:
            regs[2] += requests[i, 1]
    regs[0] = channel
    return n_fills * (1 << 32) + n_log
