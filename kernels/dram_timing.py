"""DRAM commands and what each must wait for: the JEDEC parameters of a standard as one table of delays.

A rule is (scope, earlier command, later command, delay); the scopes are those of JESD238 and its kin: the
pseudo-channel (a rank of DDR5), the same stack id, other stack ids, the same bank group, the same bank.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows

ACT, PRE, RD, WR, REFAB, PREA, REFPB, CAS = range(8)
COMMANDS = ("ACT", "PRE", "RD", "WR", "REFab", "PREab", "REFpb", "CAS")  # CAS: starts the data clock
N_COMMANDS = 8
NO_RULE = -(1 << 40)
PSEUDO_CHANNEL, SAME_STACK, OTHER_STACK, BANK_GROUP, BANK = range(5)
N_SCOPES = 5
ACTS_IN_WINDOW = 4
CLOSED = -1

TIMING_NAMES = (
    "nBL", "nCL", "nCWL", "nRCDRD", "nRCDWR", "nRP", "nRAS", "nRC", "nWR", "nRTP", "nCCDS", "nCCDL", "nCCDR", "nRRDS",
    "nRRDL", "nFAW", "nWTRS", "nWTRL", "nRTW", "nRFC", "nRFCpb", "nRREFD", "nREFI", "nREFIpb", "nPPD",
)  # fmt: skip


def delay_rules(t: Mapping[str, int]) -> list[tuple[int, int, int, int]]:
    """Return every rule as (scope, earlier, later, cycles) for timings in cycles by JEDEC name.

    nRTW counts from read to write command; nWTR from the end of the write data; nFAW is not a rule between two commands
    and is kept by the loop.
    """
    after_write = t["nCWL"] + t["nBL"]
    rules = [
        (BANK, ACT, ACT, t["nRC"]),
        (BANK, ACT, PRE, t["nRAS"]),
        (BANK, ACT, RD, t["nRCDRD"]),
        (BANK, ACT, WR, t["nRCDWR"]),
        (BANK, PRE, ACT, t["nRP"]),
        (BANK, RD, PRE, t["nRTP"]),
        (BANK, WR, PRE, after_write + t["nWR"]),
        (PSEUDO_CHANNEL, PRE, PRE, t["nPPD"]),
        (PSEUDO_CHANNEL, ACT, ACT, t["nRRDS"]),
        (BANK_GROUP, ACT, ACT, t["nRRDL"]),
        (PSEUDO_CHANNEL, RD, WR, t["nRTW"]),
        (PSEUDO_CHANNEL, WR, RD, after_write + t["nWTRS"]),
        (BANK_GROUP, WR, RD, after_write + t["nWTRL"]),
    ]
    for column in (RD, WR):
        rules += [
            (PSEUDO_CHANNEL, column, column, max(t["nBL"], t["nCCDS"])),
            (OTHER_STACK, column, column, t["nCCDR"]),
            (BANK_GROUP, column, column, t["nCCDL"]),
        ]
    return rules + _refresh_rules(t, after_write)


def _refresh_rules(t: Mapping[str, int], after_write: int) -> list[tuple[int, int, int, int]]:
    rules = [
        (PSEUDO_CHANNEL, ACT, PREA, t["nRAS"]),
        (PSEUDO_CHANNEL, RD, PREA, t["nRTP"]),
        (PSEUDO_CHANNEL, WR, PREA, after_write + t["nWR"]),
        (PSEUDO_CHANNEL, PRE, PREA, t["nPPD"]),
        (PSEUDO_CHANNEL, PREA, ACT, t["nRP"]),
        (PSEUDO_CHANNEL, PREA, REFPB, t["nRP"]),
        (PSEUDO_CHANNEL, ACT, REFAB, t["nRC"]),
        (PSEUDO_CHANNEL, PRE, REFAB, t["nRP"]),
        (PSEUDO_CHANNEL, PREA, REFAB, t["nRP"]),
        (PSEUDO_CHANNEL, REFPB, REFAB, t["nRFCpb"]),
        (PSEUDO_CHANNEL, REFPB, REFPB, t["nRREFD"]),
        (PSEUDO_CHANNEL, REFPB, ACT, t["nRREFD"]),
        (PSEUDO_CHANNEL, ACT, REFPB, t["nRRDS"]),
        (BANK, ACT, REFPB, t["nRC"]),
        (BANK, PRE, REFPB, t["nRP"]),
        (BANK, REFPB, ACT, t["nRFCpb"]),
        (BANK, REFPB, REFPB, t["nRFCpb"]),
    ]
    return rules + [(PSEUDO_CHANNEL, REFAB, later, t["nRFC"]) for later in (ACT, PRE, REFAB, PREA, REFPB)]


def delay_table(timings: Mapping[str, int], ticks_per_cycle: int) -> Rows:
    """Return the rules as (scope, earlier, later) in ticks; NO_RULE where there is none."""
    table = np.full((N_SCOPES, N_COMMANDS, N_COMMANDS), NO_RULE, np.int64)
    for scope, earlier, later, cycles in delay_rules(timings):
        table[scope, earlier, later] = max(table[scope, earlier, later], cycles * ticks_per_cycle)
    return table


def bank_nodes(n_pseudo_channels: int, n_stack_ids: int, n_bank_groups: int, n_banks: int) -> Rows:
    """Return for every bank of a channel (bank, 4) its rows in the table of next times: pseudo-channel, stack, group,
    bank."""
    n_stacks = n_pseudo_channels * n_stack_ids
    n_groups = n_stacks * n_bank_groups
    bank = np.arange(n_groups * n_banks, dtype=np.int64)
    group = bank // n_banks
    stack = group // n_bank_groups
    offsets = (0, n_pseudo_channels, n_pseudo_channels + n_stacks, n_pseudo_channels + n_stacks + n_groups)
    columns = (stack // n_stack_ids, stack, group, bank)
    return np.ascontiguousarray(np.stack([c + o for c, o in zip(columns, offsets, strict=True)], axis=1))


@inlined
def ready_at(channel: int, bank: int, command: int, nodes: Rows, next_ok: Rows) -> int:
    """Return the first tick at which a command to one bank keeps every rule."""
    # Unsigned: an index is then never counted from the end, which would cost as much as the look-up.
    ch, at, which = np.uint64(channel), np.uint64(bank), np.uint64(command)
    tick: int = next_ok[ch, np.uint64(nodes[at, 0]), which]
    tick = max(tick, next_ok[ch, np.uint64(nodes[at, 1]), which])
    tick = max(tick, next_ok[ch, np.uint64(nodes[at, 2]), which])
    tick = max(tick, next_ok[ch, np.uint64(nodes[at, 3]), which])
    return tick


@inlined
def push_back(channel: int, node: int, scope: int, command: int, now: int, delay: Rows, next_ok: Rows) -> None:
    """Let every later command in one scope wait for a command issued now."""
    for later in range(N_COMMANDS):  # without a branch, so that the compiler does all commands at once
        next_ok[channel, node, later] = max(next_ok[channel, node, later], now + delay[scope, command, later])


@inlined
def note_command(
    channel: int,
    bank: int,
    command: int,
    now: int,
    faw: int,
    n_stack_ids: int,
    nodes: Rows,
    delay: Rows,
    next_ok: Rows,
    acts: Rows,
) -> None:
    """Record a command to one bank; acts (channel, pseudo-channel, 4) are the times of the last four ACTs."""
    pseudo = nodes[bank, 0]
    push_back(channel, pseudo, PSEUDO_CHANNEL, command, now, delay, next_ok)
    push_back(channel, nodes[bank, 2], BANK_GROUP, command, now, delay, next_ok)
    push_back(channel, nodes[bank, 3], BANK, command, now, delay, next_ok)
    if n_stack_ids > 1 and command in (RD, WR):
        first = acts.shape[1] + pseudo * n_stack_ids
        for stack in range(first, first + n_stack_ids):
            scope = SAME_STACK if stack == nodes[bank, 1] else OTHER_STACK
            push_back(channel, stack, scope, command, now, delay, next_ok)
    if command == ACT:
        if acts[channel, pseudo, 1] + faw > next_ok[channel, pseudo, ACT]:
            next_ok[channel, pseudo, ACT] = acts[channel, pseudo, 1] + faw
        for i in range(ACTS_IN_WINDOW - 1):
            acts[channel, pseudo, i] = acts[channel, pseudo, i + 1]
        acts[channel, pseudo, ACTS_IN_WINDOW - 1] = now
