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
FIELDS = {"ch": 0, "pc": 1, "si": 2, "bg": 3, "ba": 4, "ro": 5, "co": 6}
XORED = ("pc", "si", "bg", "ba")


@dataclass(frozen=True)
class AddressMap:
    """A mapping for one geometry, ready for `decode_addresses`. n_bits: of the addresses that it tells apart."""

    steps: Int64s
    widths: Int64s
    burst_shift: int
    n_bits: int

    def decode(self, addresses: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Return channel, bank within the channel, and row of each byte address."""
        channel, bank, row = (np.empty(len(addresses), np.int64) for _ in range(3))
        scratch = np.zeros(address.N_FIELDS, np.int64)
        address.decode_addresses(self.burst_shift, self.steps, self.widths, scratch, addresses, channel, bank, row)
        return channel, bank, row


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
    cuts = _cuts(body.split("-"), widths)
    xors = _xor_shifts(widths) if suffix else {}
    steps = [(FIELDS[name], width, shift, xors.get(name, address.NO_XOR)) for name, width, shift in cuts]
    burst_shift = _log2("burst", geometry.burst)
    return AddressMap(
        np.array(steps, np.int64),
        np.array([widths[name] for name in FIELDS] + [0], np.int64),
        burst_shift,
        burst_shift + sum(widths.values()),
    )


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


def _xor_shifts(widths: dict[str, int]) -> dict[str, int]:
    shifts = {}
    shift = 0
    for name in XORED:
        shifts[name] = shift
        shift += widths[name]
    return shifts
