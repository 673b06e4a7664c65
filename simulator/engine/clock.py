"""Integer time: femtoseconds everywhere, and the clocks that divide it."""

from __future__ import annotations

from dataclasses import dataclass

FS_PER_SECOND = 10**15


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock domain; its period is a whole number of femtoseconds (1.755 GHz is exact to 1e-6)."""

    frequency_hz: int
    period_fs: int

    @staticmethod
    def from_hz(frequency_hz: int) -> Clock:
        """Return the clock of `frequency_hz` (Hz); ValueError unless it is positive."""
        if frequency_hz <= 0:
            raise ValueError(f"clock frequency must be positive, not {frequency_hz} Hz")
        return Clock(frequency_hz, round(FS_PER_SECOND / frequency_hz))

    def fs(self, cycles: int) -> int:
        """Return the femtoseconds of a number of cycles."""
        return cycles * self.period_fs

    def ceil_cycles(self, time_fs: int) -> int:
        """Return the first cycle edge at or after `time_fs`, as a cycle number."""
        return -(-time_fs // self.period_fs)

    def floor_cycles(self, time_fs: int) -> int:
        """Return the cycle that is running at `time_fs`."""
        return time_fs // self.period_fs


def transfer_fs(amount: int, per_second: int) -> int:
    """Return the femtoseconds that `amount` takes at `per_second`, rounded up; exact integer arithmetic."""
    return -(-amount * FS_PER_SECOND // per_second)
