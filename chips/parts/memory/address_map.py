"""Address mappings as data: the order of the bit fields of an address, most significant first, and which are XORed.

`ro-co-ba-bg-si-pc-ch-co2+xor`: the two lowest column bits are the least significant, the row the most; `+xor`: pseudo-
channel, stack id, bank group and bank are XORed with the column's bits in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels import address
from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params.memory import MemoryGeometry

Int64s = NDArray[np.int64]

MAPPINGS = {
    "mop4clxor": "ro-co-ba-bg-si-pc-ch-co2+xor",
    "mop4cl": "ro-co-ba-bg-si-pc-ch-co2",
    "robaracoch": "ro-ba-bg-si-pc-co-ch",
    "robarachco": "ro-ba-bg-si-pc-ch-co",
    "robgbaracoch": "ro-bg-ba-si-pc-co-ch",
    "rorabgbachco": "ro-pc-si-bg-ba-ch-co",
    "rocobarach": "ro-co-ba-bg-si-pc-ch",
    "chrabarocol": "ch-pc-si-bg-ba-ro-co",
    "chrarobaco": "ch-pc-si-ro-ba-bg-co",
}
FIELDS = ("ch", "pc", "si", "bg", "ba", "ro", "co")
XORED = ("pc", "si", "bg", "ba")


@dataclass(frozen=True)
class AddressMap:
    """A mapping for one geometry, ready for `decode_addresses`. n_bits: of the addresses that it tells apart."""

    pieces: Int64s
    n_bits: int

    def decode(self, addresses: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Return channel, bank within the channel, and row of each byte address."""
        channel, bank, row = self._decode(addresses, address.COLUMN)
        return channel, bank, row

    def decode_to_column(self, addresses: Int64s) -> tuple[Int64s, Int64s, Int64s, Int64s]:
        """Return channel, bank, row, and burst within the row of each byte address."""
        channel, bank, row, column = self._decode(addresses, address.N_OUTPUTS)
        return channel, bank, row, column

    def _decode(self, addresses: Int64s, n_outputs: int) -> Int64s:
        outputs = np.zeros((n_outputs, len(addresses)), np.int64)  # an output without bits is never touched
        address.decode_addresses(self.pieces, addresses, outputs)
        return outputs


def address_map(mapping: str, geometry: MemoryGeometry, n_channels: int) -> AddressMap:
    """Return a mapping by name or by its order of fields; InputError where it is neither, or a field is missing."""
    order = mapping.lower() if "-" in mapping else MAPPINGS.get(mapping.lower())
    if order is None:
        expected = f"{listed(MAPPINGS)}, or an order such as '{MAPPINGS['mop4clxor']}'"
        raise InputError("unknown mapping", key="mapping", value=mapping, expected=expected,
                         nearest=nearest_name(mapping, MAPPINGS))  # fmt: skip
    widths = _widths(geometry, n_channels)
    body, _, suffix = order.partition("+")
    if suffix not in ("", "xor"):
        raise InputError("unknown suffix", key="mapping", value=f"+{suffix}", expected="+xor", nearest="+xor")
    burst_shift = _log2("burst", geometry.burst)
    bits = _address_bits(_cuts(body.split("-"), widths), burst_shift)
    if suffix:
        _xor_with_column(bits)
    return AddressMap(_pieces(bits), burst_shift + sum(widths.values()))


def _widths(geometry: MemoryGeometry, n_channels: int) -> dict[str, int]:
    counts = {
        "ch": ("channels", n_channels),
        "pc": ("n_pseudo_channels", geometry.n_pseudo_channels),
        "si": ("n_stack_ids", geometry.n_stack_ids),
        "bg": ("n_bank_groups", geometry.n_bank_groups),
        "ba": ("n_banks", geometry.n_banks),
        "ro": ("n_rows", geometry.n_rows),
        "co": ("n_columns", geometry.n_columns),
    }
    return {name: _log2(*count) for name, count in counts.items()}


def _log2(key: str, count: int) -> int:
    if count < 1 or count & (count - 1):
        raise InputError("not a power of two", key=key, value=count, expected="1, 2, 4, 8, ...")
    return count.bit_length() - 1


def _cuts(tokens: list[str], widths: dict[str, int]) -> list[tuple[str, int, int]]:
    """Return (field, width, shift within the field), least significant first."""
    taken = dict.fromkeys(FIELDS, 0)
    cuts = []
    for token in reversed(tokens):
        name, digits = token[:2], token[2:]
        if name not in FIELDS or not (digits == "" or digits.isdigit()):
            raise InputError("unknown field", key="mapping", value=token, expected=listed(FIELDS),
                             nearest=nearest_name(name, FIELDS))  # fmt: skip
        width = min(int(digits), widths[name] - taken[name]) if digits else widths[name] - taken[name]
        cuts.append((name, width, taken[name]))
        taken[name] += width
    missing = [name for name in FIELDS if taken[name] != widths[name]]
    if missing:
        raise InputError("a field is missing", key="mapping", value="-".join(tokens), expected=f"all of {missing[0]}")
    return cuts


def _address_bits(cuts: list[tuple[str, int, int]], burst_shift: int) -> dict[str, list[list[int]]]:
    """Return by field, for each of its bits from the lowest, the address bits that it is the XOR of."""
    bits: dict[str, list[list[int]]] = {name: [] for name in FIELDS}
    place = burst_shift
    for name, width, _ in cuts:
        bits[name] += [[place + i] for i in range(width)]
        place += width
    return bits


def _xor_with_column(bits: dict[str, list[list[int]]]) -> None:
    left = iter(bits["co"])
    for name in XORED:
        for bit in bits[name]:
            bit += next(left, [])


def _pieces(bits: dict[str, list[list[int]]]) -> Int64s:
    """Return the rows of `decode_addresses`: bits that go equally far go together."""
    banks = bits["ba"] + bits["bg"] + bits["si"] + bits["pc"]
    masks: dict[tuple[int, int], int] = {}
    for output, wanted in enumerate((bits["ch"], banks, bits["ro"], bits["co"])):
        for i, sources in enumerate(wanted):
            for source in sources:
                masks[output, source - i] = masks.get((output, source - i), 0) | 1 << i
    rows = [(output, shift, mask) for (output, shift), mask in masks.items()]
    return np.array(rows, np.int64).reshape(-1, address.N_PIECE)
