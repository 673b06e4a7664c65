"""Power as documents have it, in the units of the log and of people."""

from __future__ import annotations

MW_PER_W = 1000


def watts(milliwatts: int) -> float:
    """Return a power in W."""
    return milliwatts / MW_PER_W


def fj_per_cycle(milliwatts: int, period_fs: int) -> int:
    """Return the energy in fJ of a cycle at a power: a mW for a fs is 1e-18 J."""
    return milliwatts * period_fs // 1000
