"""One banked SRAM under one pattern of accesses."""

from __future__ import annotations

import importlib
import re
from typing import Any

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params import find_document, resolve

MOST_ACCESSES = 1 << 26
LARGEST_STRIDE = 1 << 30
MOST_WORDS = 1 << 28
MOST_COMPARISONS = 1 << 34
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def sram(
    n_banks: int = 32,
    width: str = "4B",
    pattern: str = "strided",
    stride: int = 1,
    n: int = 1 << 20,
    n_ports: int = 1,
    n_lanes: int | None = None,
    access: str | None = None,
    capacity: str = "256KiB",
    node: str = "n7",
    merge: bool = True,
    rotate: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Read `n` elements, a vector of `n_lanes` (one a bank) at a time, in a pattern; return a JSON-ready record.

    stride: in elements of `access` (one word of `width`); for 'transposed', the elements of a row. merge: lanes that
    want one word share it. rotate: interleave with each row of words turned by a bank. InputError for anything else.
    """
    width_bytes, capacity_bytes = parse_bytes("width", width), parse_bytes("capacity", capacity)
    access_bytes = width_bytes if access is None else parse_bytes("access", access)
    parts: Any = importlib.import_module("dieshot.chips.parts.memory.sram")
    energies: Any = importlib.import_module("dieshot.chips.parameters.sram")
    if pattern not in parts.PATTERNS:
        nearest = nearest_name(pattern, parts.PATTERNS)
        raise InputError(
            "unknown pattern", key="pattern", value=pattern, expected=listed(parts.PATTERNS), nearest=nearest
        )
    for key, value, most in (("n", n, MOST_ACCESSES), ("stride", stride, LARGEST_STRIDE), ("banks", n_banks, 1 << 20)):
        if not 1 <= value <= most:
            raise InputError("out of range", key=key, value=value, expected=f"1 to {most}")
    if capacity_bytes % n_banks or capacity_bytes < n_banks * width_bytes:
        expected = f"a multiple of {n_banks} banks, each at least one word of {width_bytes} B"
        raise InputError("not possible", key="capacity", value=capacity, expected=expected)
    lanes = n_banks if n_lanes is None else n_lanes
    timing = parts.SramTiming(n_banks, width_bytes, n_ports, lanes, access_bytes, merge=merge, rotate=rotate)
    _refuse_too_long(timing, n, capacity_bytes)
    resolved = resolve(find_document("memories", "sram"), energies.SramParameters)
    word_fj = energies.access_energy_fj(resolved.values, node, capacity_bytes // n_banks, width_bytes)
    addresses = parts.pattern_addresses(pattern, n, stride, access_bytes, seed, capacity_bytes)
    service = parts.read_vectors(timing, addresses)
    n_vectors = len(service.finish_cycles)
    return {
        "banks": n_banks,
        "width_bytes": width_bytes,
        "ports": n_ports,
        "lanes": lanes,
        "access_bytes": access_bytes,
        "capacity_bytes": capacity_bytes,
        "node": node,
        "pattern": pattern,
        "stride": stride,
        "n": n,
        "vectors": n_vectors,
        "cycles": service.cycles,
        "conflicts": service.conflict_cycles,
        "cycles_per_vector": service.cycles / n_vectors,
        "words": service.n_words,
        "merged_words": service.n_merged,
        "bytes_per_cycle": n * access_bytes / service.cycles,
        "peak_bytes_per_cycle": n_banks * n_ports * width_bytes,
        "word_energy_fj": word_fj,
        "energy_fj": word_fj * service.n_words,
        "assumed": [record.path for record in resolved.assumed_read()],
    }


def _refuse_too_long(timing: Any, n: int, capacity_bytes: int) -> None:
    if timing.access_bytes > capacity_bytes:
        expected = f"at most the capacity of {capacity_bytes} B"
        raise InputError("too large", key="access", value=f"{timing.access_bytes} B", expected=expected)
    words = n * (-(-timing.access_bytes // timing.width_bytes) + 1)
    if words > MOST_WORDS:
        raise InputError("too many words to read", key="n", value=n, expected=f"at most {MOST_WORDS} words in all")
    if timing.merge and words * min(timing.n_lanes, n) > MOST_COMPARISONS:
        expected = f"words times lanes at most {MOST_COMPARISONS} where lanes share words"
        raise InputError("too many words to compare", key="lanes", value=timing.n_lanes, expected=expected)


def parse_bytes(key: str, text: str) -> int:
    """Return a size such as '4B' or '256KiB' in bytes."""
    match = re.fullmatch(r"(\d{1,12}) ?(B|KiB|MiB|GiB)", text.strip())
    if match is None or int(match[1]) < 1:
        raise InputError("not a size", key=key, value=text, expected="a whole number and B, KiB, MiB or GiB")
    return int(match[1]) * _BYTES[match[2]]
