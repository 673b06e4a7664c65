"""Ports: delay, order, credits."""

from collections.abc import Generator
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port


class Receiver(Component):
    """Takes batches with a pause after each, and notes when each came."""

    def __init__(self, env: simpy.Environment, port: Port, pauses: list[int]) -> None:
        self.port = port
        self.pauses = pauses
        self.seen: list[tuple[int, Any]] = []
        super().__init__(env, "receiver")

    def run(self) -> Generator[simpy.Event, Any, None]:
        for pause in self.pauses:
            batch = yield self.port.receive()
            self.seen.append((int(self.env.now), batch))
            yield self.env.timeout(pause)


def sending(env: simpy.Environment, port: Port, gaps: list[int], left: list[int]) -> Generator[simpy.Event, Any, None]:
    for number, gap in enumerate(gaps):
        yield env.timeout(gap)
        waiting = port.send(number)
        if waiting is not None:
            yield waiting
        left.append(int(env.now))


@given(st.integers(0, 50), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_batches_arrive_in_order_and_after_the_delay(delay_fs: int, gaps_and_pauses: list[tuple[int, int]]) -> None:
    env = simpy.Environment()
    port = Port(env, delay_fs)
    gaps, pauses = [row[0] for row in gaps_and_pauses], [row[1] for row in gaps_and_pauses]
    receiver, left = Receiver(env, port, pauses), []
    env.process(sending(env, port, gaps, left))
    env.run()
    expected, free = [], 0
    for number, (sent, pause) in enumerate(zip(left, pauses, strict=True)):
        free = max(free, sent + delay_fs)
        expected.append((free, number))
        free += pause
    assert receiver.seen == expected


@given(st.integers(1, 4), st.integers(0, 30), st.lists(st.integers(0, 9), max_size=15))
def test_no_more_batches_are_under_way_than_there_are_credits(credits: int, delay_fs: int, pauses: list[int]) -> None:
    env = simpy.Environment()
    port = Port(env, delay_fs, credits)
    receiver, left = Receiver(env, port, pauses), []
    env.process(sending(env, port, [0] * len(pauses), left))
    env.run()
    assert [number for _, number in receiver.seen] == list(range(len(pauses)))
    took = [time for time, _ in receiver.seen]
    for number in range(len(pauses)):
        assert left[number] == (took[number - credits] if number >= credits else 0)


def test_a_sender_without_credit_waits_for_the_receiver() -> None:
    env = simpy.Environment()
    port = Port(env, 10, 1)
    left: list[int] = []
    env.process(sending(env, port, [0, 0, 0], left))
    receiver = Receiver(env, port, [100, 100, 100])
    env.run()
    assert left == [0, 10, 110]
    assert receiver.seen == [(10, 0), (110, 1), (210, 2)]


def test_bad_ports_are_refused() -> None:
    env = simpy.Environment()
    with pytest.raises(ValueError, match="must not be negative, not -1 fs"):
        Port(env, -1)
    with pytest.raises(ValueError, match="at least one credit, not 0"):
        Port(env, 0, 0)
