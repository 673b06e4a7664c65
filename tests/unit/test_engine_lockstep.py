"""Parts in lockstep: none begins a stretch before all have ended the last, and one that is done holds nobody up."""

import pytest
import simpy

from dieshot.simulator.engine.lockstep import Lockstep, PartInLockstep

pytestmark = pytest.mark.nojit


def test_parts_meet_before_and_after_every_stretch() -> None:
    env = simpy.Environment()
    lengths = iter([5, 7, 11, 13])
    begun: list[int] = []
    settled: list[tuple[str, int]] = []

    def advance() -> int:
        begun.append(int(env.now))
        return next(lengths)

    lockstep = Lockstep(env, advance)
    parts = [
        PartInLockstep(env, name, lockstep, lambda name=name: settled.append((name, int(env.now))), is_over)
        for name, is_over in (("a", lambda: len(begun) == 4), ("b", lambda: len(begun) == 2))
    ]
    for part in parts:
        env.run(until=part.process)
    assert begun == [0, 5, 12, 23]
    assert settled == [("a", 5), ("b", 5), ("a", 12), ("b", 12), ("a", 23), ("a", 36)]


def test_a_part_without_work_holds_nobody_up() -> None:
    env = simpy.Environment()
    calls: list[int] = []
    lockstep = Lockstep(env, lambda: calls.append(1) or 3)
    PartInLockstep(env, "idle", lockstep, lambda: None, lambda: True)
    busy = PartInLockstep(env, "busy", lockstep, lambda: None, lambda: len(calls) == 2)
    env.run(until=busy.process)
    assert (env.now, len(calls)) == (6, 2)
