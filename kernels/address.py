"""Addresses to channel, bank, row and column: bit fields cut off from below, some of them XORed with column bits."""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

FIELD, WIDTH, SHIFT, XOR_SHIFT = range(4)
NO_XOR = -1
CHANNEL, PSEUDO, STACK, GROUP, BANK, ROW, COLUMN, N_FIELDS = range(8)


@timing_loop("void(int64, int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def decode_addresses(
    burst_shift: int,
    steps: Rows,
    widths: Rows,
    scratch: Rows,
    addresses: Rows,
    channel: Rows,
    bank: Rows,
    row: Rows,
) -> None:
    """Decode byte addresses; bits above the last field are dropped.

    steps (n, 4): field, width in bits, shift within the field, XOR_SHIFT (the column's bits from there on are XORed in;
    NO_XOR: none), least significant first. widths, scratch (N_FIELDS): bits of each field; working space.
    """
    for i in range(addresses.shape[0]):
        rest = addresses[i] >> burst_shift
        for field in range(N_FIELDS):
            scratch[field] = 0
        for k in range(steps.shape[0]):
            scratch[steps[k, FIELD]] |= (rest & ((1 << steps[k, WIDTH]) - 1)) << steps[k, SHIFT]
            rest >>= steps[k, WIDTH]
        for k in range(steps.shape[0]):
            if steps[k, XOR_SHIFT] != NO_XOR:
                field = steps[k, FIELD]
                scratch[field] ^= (scratch[COLUMN] >> steps[k, XOR_SHIFT]) & ((1 << widths[field]) - 1)
        stack = (scratch[PSEUDO] << widths[STACK]) | scratch[STACK]
        channel[i] = scratch[CHANNEL]
        bank[i] = (((stack << widths[GROUP]) | scratch[GROUP]) << widths[BANK]) | scratch[BANK]
        row[i] = scratch[ROW]
