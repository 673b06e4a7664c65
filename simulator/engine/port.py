"""Ports carry batches of work between SimPy parts; the delay is the shortest latency of the wire."""

from __future__ import annotations

from collections import deque
from typing import Any

import simpy


class Port:
    """A one-way channel of batches. A batch's items carry their own times; none is earlier than the batch's delivery.

    The receiver asks once a window, so an empty batch is news too: nothing happened up to now (a null message of
    conservative parallel simulation). `credits` bounds the batches under way; a sender without credit waits.
    """

    def __init__(self, env: simpy.Environment, delay_fs: int, credits: int | None = None) -> None:
        if delay_fs < 0:
            raise ValueError(f"port delay must not be negative, not {delay_fs} fs")
        if credits is not None and credits < 1:
            raise ValueError(f"a port needs at least one credit, not {credits}")
        self.env = env
        self.delay_fs = delay_fs
        self._free_credits = credits
        self._inbox: deque[Any] = deque()
        self._under_way: deque[tuple[int, Any]] = deque()
        self._receiver: simpy.Event | None = None
        self._senders: deque[tuple[Any, simpy.Event]] = deque()

    def send(self, batch: Any) -> simpy.Event | None:
        """Send a batch; return None when it has left, or the event of its leaving when a credit must come back
        first."""
        if self._free_credits is None:
            self._hand_over(batch)
            return None
        if self._free_credits > 0:
            self._free_credits -= 1
            self._depart(batch)
            return None
        left = self.env.event()
        self._senders.append((batch, left))
        return left

    def receive(self) -> simpy.Event:
        """Return the event whose value is the next batch."""
        event = self.env.event()
        if self._under_way:
            arrival_fs, batch = self._under_way.popleft()
            self._arrive_at(event, batch, max(0, arrival_fs - int(self.env.now)))
        elif self._inbox:
            event.succeed(self._take())
        else:
            self._receiver = event
        return event

    def _hand_over(self, batch: Any) -> None:
        """Send without credits: one event a batch, the receiver's own."""
        if self._receiver is None:
            self._under_way.append((int(self.env.now) + self.delay_fs, batch))
            return
        receiver, self._receiver = self._receiver, None
        self._arrive_at(receiver, batch, self.delay_fs)

    def _arrive_at(self, event: simpy.Event, batch: Any, delay_fs: int) -> None:
        event._ok = True
        event._value = batch
        self.env.schedule(event, delay=delay_fs)

    def _depart(self, batch: Any) -> None:
        arrival = self.env.timeout(self.delay_fs, batch)
        assert arrival.callbacks is not None
        arrival.callbacks.append(self._arrive)

    def _arrive(self, arrival: simpy.Event) -> None:
        self._inbox.append(arrival.value)
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.succeed(self._take())

    def _take(self) -> Any:
        batch = self._inbox.popleft()
        if self._senders:
            waiting, left = self._senders.popleft()
            self._depart(waiting)
            left.succeed()
        elif self._free_credits is not None:
            self._free_credits += 1
        return batch
