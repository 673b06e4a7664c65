"""Memory documents: one DRAM standard, its geometry, its timings by their JEDEC names and its energy by command."""

from __future__ import annotations

from dieshot.simulator.params.quantity import (
    Bytes,
    Count,
    Cycles,
    Femtojoules,
    FemtojoulesPerBit,
    Femtoseconds,
    Milliwatts,
)
from dieshot.simulator.params.schema import Schema


class MemoryGeometry(Schema):
    """What one channel is divided into. n_channels: of one stack or device. n_pseudo_channels: of one channel, with
    their own data pins; a rank counts as one. n_stack_ids: dies that share pins. n_banks: of one bank group. n_columns:
    bursts in a row. burst: data of one column command.
    """

    n_channels: Count
    n_pseudo_channels: Count
    n_stack_ids: Count
    n_bank_groups: Count
    n_banks: Count
    n_rows: Count
    n_columns: Count
    burst: Bytes


class MemoryBus(Schema):
    """Command buses. ticks_per_cycle: steps of the command bus in one CK. act, row, column: how long an ACT, another
    row command and a column command hold their bus, in ticks. sync: how long a CAS does, which starts the data clock
    where it has stopped; without, it never stops. shared: row and column commands have one bus.
    """

    ticks_per_cycle: Count
    act: Cycles
    row: Cycles
    column: Cycles
    sync: Cycles | None = None
    shared: bool = False


class MemoryTimings(Schema):
    """Timings in CK cycles by their JEDEC names (S, L, R: other bank group, same bank group, other stack id).

    nBL: data of one burst. nCCDR: 0 where there is one stack id. nRREFD: per-bank refresh to another bank's ACT or
    refresh. nREFIpb: between two per-bank refreshes of a channel.
    """

    tCK: Femtoseconds
    nBL: Cycles
    nCL: Cycles
    nCWL: Cycles
    nRCDRD: Cycles
    nRCDWR: Cycles
    nRP: Cycles
    nRAS: Cycles
    nRC: Cycles
    nWR: Cycles
    nRTP: Cycles
    nCCDS: Cycles
    nCCDL: Cycles
    nCCDR: Cycles
    nRRDS: Cycles
    nRRDL: Cycles
    nFAW: Cycles
    nWTRS: Cycles
    nWTRL: Cycles
    nRTW: Cycles
    nRFC: Cycles
    nRFCpb: Cycles
    nRREFD: Cycles
    nREFI: Cycles
    nREFIpb: Cycles
    nPPD: Cycles


class MemoryEnergy(Schema):
    """Energy of one command on one pseudo-channel; io: of a bit moved over the pins; background: of one channel."""

    act: Femtojoules
    pre: Femtojoules
    rd: Femtojoules
    wr: Femtojoules
    ref_all_bank: Femtojoules
    ref_per_bank: Femtojoules
    io: FemtojoulesPerBit
    background: Milliwatts


class MemoryParameters(Schema):
    """A DRAM standard at one speed."""

    name: str
    geometry: MemoryGeometry
    bus: MemoryBus
    timings: MemoryTimings
    energy: MemoryEnergy
