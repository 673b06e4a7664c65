"""A GEMM on cores: arrays of `dieshot micro array` with scratchpads filled from DRAM."""

from __future__ import annotations

import importlib
import re
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.params.unit import parse_unit
from dieshot.simulator.studies.micro.dram import memory_parameters

FEMTOSECONDS = 10**15
OPERAND_BYTES = 2
MOST_CORES = 256
MOST_FOLDS = 1 << 18
MOST_BYTES = 1 << 35  # every burst is timed
MOST_BANKS = 1 << 16
MOST_SCRATCHPAD_BYTES = 1 << 28


@dataclass(frozen=True)
class CoreChoice:
    """A core and what is behind it, as words.

    memory: 'hbm2', with the channels of one such device, or '16xhbm2'. mapping: of addresses, as in `micro dram`.
    latency: of the network, one way; link: rate of its link from a core to a channel. scratchpad: size. clock: of
    arrays. banks: 'NxWIDTH' or 'NxWIDTHxPORTS', of either operand; None: as wide as the array. layout: 'tiles' or
    'rows', of matrices in memory. double_buffered: whether half of the scratchpad fills while the array works.
    """

    memory: str
    mapping: str = "mop4clxor"
    latency: str = "30ns"
    link: str = "64GB/s"
    scratchpad: str = "32MiB"
    clock: str = "1GHz"
    cores: int = 1
    banks: str | None = None
    layout: str = "tiles"
    double_buffered: bool = True


def core_gemm(array: Any, gemm: Any, dataflow: str, words: dict[str, int], choice: CoreChoice) -> dict[str, Any]:
    """Run a GEMM from memory to memory; return a JSON-ready record.

    words: operands that the arrays take. Operands and stored sums have 2 bytes. InputError for a choice that is not
    possible, or a GEMM that takes too long.
    """
    _refuse_too_long(array, gemm, dataflow, words)
    if not 1 <= choice.cores <= MOST_CORES:
        raise InputError("out of range", key="cores", value=choice.cores, expected=f"1 to {MOST_CORES}")
    cores: Any = importlib.import_module("dieshot.chips.parts.core.core")
    cycle_fs = round(FEMTOSECONDS / in_base("clock", choice.clock, "Hz", "1GHz", 10**3, 10**12))
    scratchpad_bytes = int(in_base("scratchpad", choice.scratchpad, "B", "32MiB", 1, MOST_SCRATCHPAD_BYTES))
    timing = cores.CoreTiming(
        array,
        cycle_fs,
        scratchpad_bytes,
        OPERAND_BYTES,
        OPERAND_BYTES,
        banks=_banks(cores, choice.banks),
        layout=choice.layout,
        double_buffered=choice.double_buffered,
    )
    behind = _memory(choice)
    began = time.perf_counter()
    done = cores.run_gemm(timing, behind, gemm, dataflow, choice.cores)
    moved_bytes = behind.read_bytes + behind.written_bytes
    duration_fs = done.cycles * cycle_fs
    return {
        "cycles": done.cycles,
        "array_cycles": done.array_cycles,
        "cycles_by_term": done.terms,
        "utilization": done.utilization,
        "batches": done.n_batches,
        "read_bytes": behind.read_bytes,
        "written_bytes": behind.written_bytes,
        "memory_utilization": moved_bytes * FEMTOSECONDS / (behind.peak_bytes_per_s * duration_fs),
        "memory_energy_fj": behind.energy_fj(duration_fs),
        **behind.counters(),
        "simulated_in_s": time.perf_counter() - began,
    }


def _refuse_too_long(array: Any, gemm: Any, dataflow: str, words: dict[str, int]) -> None:
    row_extent, column_extent = (gemm.M, gemm.N) if dataflow == "os" else (gemm.n_kept, gemm.N)
    if dataflow == "is":
        column_extent = gemm.M
    n_folds = -(-row_extent // array.rows) * -(-column_extent // array.columns)
    if n_folds > MOST_FOLDS:
        raise InputError("too many folds for a core", value=n_folds, expected=f"at most {MOST_FOLDS}")
    moved_bytes = OPERAND_BYTES * (words["inputs"] + words["weights"] + gemm.M * gemm.N)
    if moved_bytes > MOST_BYTES:
        raise InputError("moves too much for a core", value=f"{moved_bytes} B", expected=f"at most {MOST_BYTES} B")


def _memory(choice: CoreChoice) -> Any:
    memories: Any = importlib.import_module("dieshot.chips.parts.memory.memory")
    channels: Any = importlib.import_module("dieshot.chips.parts.memory.dram_channel")
    counted = re.fullmatch(r"(\d{1,4})x(.+)", choice.memory)
    parameters = memory_parameters(counted[2] if counted else choice.memory)
    n_channels = int(counted[1]) if counted else parameters.geometry.n_channels
    policy = channels.ControllerPolicy(mapping=choice.mapping, n_channels=n_channels, offers_per_tick=4 * n_channels)
    latency_fs = int(in_base("latency", choice.latency, "s", "30ns", 0, 1) * FEMTOSECONDS)
    link_bytes_per_s = int(in_base("link", choice.link, "B/s", "64GB/s", 10**6, 10**15))
    return memories.DramMemory(parameters, policy, memories.NetworkTiming(latency_fs, link_bytes_per_s), choice.cores)


def _banks(cores: Any, text: str | None) -> Any:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})B(?:x(\d{1,3}))?", text.strip())
    numbers = [int(word) for word in match.groups("1")] if match else []
    if not numbers or min(numbers) < 1 or max(numbers) > MOST_BANKS:
        expected = f"BANKSxWIDTH or BANKSxWIDTHxPORTS, such as 64x4B, each at most {MOST_BANKS}"
        raise InputError("not possible", key="banks", value=text, expected=expected)
    return cores.BankTiming(*numbers)


def in_base(key: str, text: str, base: str, example: str, least: int, most: int) -> Fraction:
    """Return a quantity such as '38.4GB/s' in its base unit, exactly; InputError unless from `least` to `most`."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) ?([A-Za-z]+(?:/s)?)", text.strip())
    if match is None:
        raise InputError("not a quantity", key=key, value=text, expected=f"such as {example}")
    unit, wanted = parse_unit(match[2]), parse_unit(base)
    value = Fraction(match[1]) * unit.scale / wanted.scale
    if unit.dimension != wanted.dimension or not least <= value <= most:
        raise InputError("not possible", key=key, value=text, expected=f"{least} to {most} {base}, such as {example}")
    return value
