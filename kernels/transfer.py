"""Transfers of a core as bursts of its memory's channels: where each burst goes, when it gets there, who is alike.

A transfer is a piece of a matrix: rows of bytes that lie a pitch apart. Every requester has a link of its own to every
channel, so bursts queue for those to the same channel alone.
"""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

OK = 0
LIMIT = 1 << 58  # fs, or bytes; a sum of such numbers in ticks still fits
MOST_BURSTS = 1 << 28  # at a time

START_FS, ADDRESS, ROW_BYTES, N_ROWS, PITCH_BYTES, WRITE, REQUESTER, N_TRANSFER = range(8)
ARRIVAL, BANK, ROW, IS_WRITE, N_ITEM = range(5)


@timing_loop("int64(int64, int64[:, ::1])")
def count_bursts(burst_bytes: int, transfers: Rows) -> int:
    """Return the bursts that transfers (n, N_TRANSFER) touch, or -1 - i where transfer i is none or out of range."""
    n = 0
    for i in range(transfers.shape[0]):
        row_bytes, n_rows, pitch = transfers[i, ROW_BYTES], transfers[i, N_ROWS], transfers[i, PITCH_BYTES]
        first, start = transfers[i, ADDRESS], transfers[i, START_FS]
        if first < 0 or first > LIMIT or start < 0 or start > LIMIT or row_bytes < 1 or row_bytes > LIMIT:
            return -1 - i
        if n_rows < 1 or n_rows > MOST_BURSTS or pitch < 0 or (n_rows > 1 and pitch > LIMIT // n_rows):
            return -1 - i
        for row in range(n_rows):
            address = first + row * pitch
            n += (address + row_bytes - 1) // burst_bytes - address // burst_bytes + 1
            if n > MOST_BURSTS:
                return -1 - i
    return n


@timing_loop("void(int64, int64[:, ::1], int64[::1], int64[::1], int64[::1])")
def cut_into_bursts(burst_bytes: int, transfers: Rows, addresses: Rows, is_write: Rows, transfer: Rows) -> None:
    """Write address, direction and number of the transfer of every burst (n), transfer by transfer, row by row."""
    k = 0
    for i in range(transfers.shape[0]):
        for row in range(transfers[i, N_ROWS]):
            address = transfers[i, ADDRESS] + row * transfers[i, PITCH_BYTES]
            for burst in range(address // burst_bytes, (address + transfers[i, ROW_BYTES] - 1) // burst_bytes + 1):
                addresses[k] = burst * burst_bytes
                is_write[k] = transfers[i, WRITE]
                transfer[k] = i
                k += 1


@timing_loop("void(int64, int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], int64[::1])")
def send_bursts(
    burst_fs: int,
    latency_fs: int,
    cycle_fs: int,
    ticks_per_cycle: int,
    link_free_fs: Rows,
    transfers: Rows,
    transfer: Rows,
    channel: Rows,
    arrival_ticks: Rows,
) -> None:
    """Time bursts on the links: a burst takes `burst_fs` of its link, and `latency_fs` to be at its channel.

    cycle_fs, ticks_per_cycle: of the memory's clock, in whose ticks arrivals (n) are written, rounded up.
    link_free_fs (requesters, channels) is state. transfer, channel (n): of every burst.
    """
    for k in range(transfer.shape[0]):
        i = transfer[k]
        requester = transfers[i, REQUESTER]
        start = max(transfers[i, START_FS], link_free_fs[requester, channel[k]])
        link_free_fs[requester, channel[k]] = start + burst_fs
        arrived = start + latency_fs
        arrival_ticks[k] = (arrived * ticks_per_cycle + cycle_fs - 1) // cycle_fs


@timing_loop(
    "void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1],"
    " int64[:, ::1], int64[::1])"
)
def sort_by_channel(
    channel: Rows,
    arrival: Rows,
    bank: Rows,
    row: Rows,
    is_write: Rows,
    state_of: Rows,
    first: Rows,
    slot: Rows,
    by_channel: Rows,
    like: Rows,
) -> None:
    """Put items together by channel, in their order, and find the channels that are asked for the same.

    Items (n): channel, arrival, bank, row, is_write. state_of (channels): channels with the same number are in the same
    state. Outputs: first (channels + 1): where each channel's items begin. slot (n): where an item went. by_channel
    (N_ITEM, n). like (channels): the first channel in the same state with the same items.
    """
    n_channels = state_of.shape[0]
    first[:] = 0
    for k in range(channel.shape[0]):
        first[channel[k] + 1] += 1
    for ch in range(n_channels):
        first[ch + 1] += first[ch]
        like[ch] = first[ch]  # for now, where its next item goes
    for k in range(channel.shape[0]):
        at = like[channel[k]]
        like[channel[k]] = at + 1
        slot[k] = at
        by_channel[ARRIVAL, at] = arrival[k]
        by_channel[BANK, at] = bank[k]
        by_channel[ROW, at] = row[k]
        by_channel[IS_WRITE, at] = is_write[k]
    for ch in range(n_channels):
        like[ch] = ch
        for other in range(ch):
            if like[other] == other and state_of[other] == state_of[ch]:
                n = first[ch + 1] - first[ch]
                same = first[other + 1] - first[other] == n
                column = 0
                while same and column < N_ITEM:
                    k = 0
                    while k < n and by_channel[column, first[other] + k] == by_channel[column, first[ch] + k]:
                        k += 1
                    same = k == n
                    column += 1
                if same:
                    like[ch] = other
                    break


@timing_loop("void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def last_of_transfers(
    channel: Rows, transfer: Rows, slot: Rows, first: Rows, like: Rows, finished: Rows, last: Rows
) -> None:
    """Write when the last burst of every transfer is done; finished (n) holds those of channels like no other."""
    last[:] = 0
    for k in range(transfer.shape[0]):
        ch = channel[k]
        done = finished[first[like[ch]] + slot[k] - first[ch]]
        last[transfer[k]] = max(last[transfer[k]], done)
