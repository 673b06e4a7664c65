"""When a kernel under way on a GPU die can be over at the earliest: what is left to do, at the rate of each unit."""

from __future__ import annotations

from numba import types

from dieshot.kernels import l2, sm
from dieshot.kernels.die_state import CACHE, INT, SMS, Cache, Sms
from dieshot.kernels.jit import Rows, part_of_loop, timing_loop

# later (CTA, 2): of the CTAs that the same slot goes on with, the matrix unit's time, and all of a group's.
TENSOR_FS, GROUP_FS = range(2)

# totals: bytes read and stored by all CTAs, their steps and stores; what follows the last work of any group at least.
BYTES, TRANSFERS, AFTER_FS, N_TOTALS = range(4)


@part_of_loop
def _left_of_cta(group: int, sms: Sms, later: Rows) -> tuple[int, int]:
    """Return what a group has left to do: time on the matrix unit, and time one after the other with its epilogues."""
    cta = sms.groups[group, sm.G_CTA]
    if cta < 0:
        return 0, 0
    kind = sms.ctas[cta, sm.K_CLASS]
    phase = sms.groups[group, sm.G_PHASE]
    first, vector, second = (
        sms.classes[kind, sm.C_TENSOR1], sms.classes[kind, sm.C_SIMT], sms.classes[kind, sm.C_TENSOR2]
    )  # fmt: skip
    n_steps = sms.classes[kind, sm.C_STEPS] - sms.groups[group, sm.G_STEP]
    tensor = n_steps * (first + second)
    whole = n_steps * (first + vector + second)
    if phase == sm.PHASE_SIMT:
        tensor -= first
        whole -= first
    elif phase == sm.PHASE_TENSOR2:
        tensor -= first
        whole -= first + vector
    whole += sms.classes[kind, sm.C_EPILOGUE]
    return tensor + later[cta, TENSOR_FS], whole + later[cta, GROUP_FS]


@timing_loop(types.int64(INT, SMS, CACHE, types.Array(types.int64, 2, "C"), types.Array(types.int64, 1, "C")))
def least_end(until_fs: int, sms: Sms, cache: Cache, later: Rows, totals: Rows) -> int:
    """Return a time before which the last CTA cannot be over and stored, as seen at `until_fs`.

    All that starts before it has been carried out. Every unit is given its work without a wait.
    later (CTA, 2), totals (N_TOTALS).
    """
    n_groups = sms.slots_per_sm * sms.n_groups
    end_fs = until_fs
    for multiprocessor in range(sms.units.shape[0]):
        tensor = 0
        for group in range(multiprocessor * n_groups, (multiprocessor + 1) * n_groups):
            on_unit, alone = _left_of_cta(group, sms, later)
            tensor += on_unit
            if alone > 0:
                begin_fs = max(until_fs, sms.groups[group, sm.G_READY])
                end_fs = max(end_fs, begin_fs + alone + totals[AFTER_FS])
        if tensor > 0:
            begin_fs = max(until_fs, sms.units[multiprocessor, sm.TENSOR])
            end_fs = max(end_fs, begin_fs + tensor + totals[AFTER_FS])
    left = totals[BYTES] - cache.regs[l2.R_READ_BYTES] - cache.regs[l2.R_WRITE_BYTES]
    if left > 0:
        pipe_fs = left * cache.fs_per_mib // l2.MIB - totals[TRANSFERS]
        end_fs = max(end_fs, cache.regs[l2.R_FREE] + pipe_fs)
    return end_fs
