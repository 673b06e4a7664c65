"""Addresses to channel, bank, row and column: each is the XOR of a few shifted and masked copies of the address."""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

OUTPUT, SHIFT, MASK, N_PIECE = range(4)
CHANNEL, BANK, ROW, COLUMN, N_OUTPUTS = range(5)
BLOCK = 1024  # addresses whose outputs stay in the nearest cache while the pieces are put together


@timing_loop("void(int64[:, ::1], int64[::1], int64[:, ::1])")
def decode_addresses(pieces: Rows, addresses: Rows, outputs: Rows) -> None:
    """Decode byte addresses into outputs (CHANNEL, BANK, ROW and, where there is a row for it, COLUMN; address).

    pieces (n, N_PIECE): output, bits to shift right (left where negative), mask of the output's bits; in order of the
    output. outputs: zero on entry; what has no piece is not touched.
    """
    for begin in range(0, addresses.shape[0], BLOCK):
        end = min(begin + BLOCK, addresses.shape[0])
        before = -1
        for k in range(pieces.shape[0]):
            output, shift, mask = pieces[k, OUTPUT], pieces[k, SHIFT], pieces[k, MASK]
            right, left = max(shift, 0), max(-shift, 0)
            if output >= outputs.shape[0]:
                break
            if output == before:
                for i in range(begin, end):
                    outputs[output, i] ^= (addresses[i] >> right << left) & mask
            else:
                for i in range(begin, end):
                    outputs[output, i] = (addresses[i] >> right << left) & mask
            before = output
