"""What our own scheduler has loaded into it: it ends, and its array of workers with it, when its client stays away."""

from __future__ import annotations

import asyncio
import contextlib
import os

from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import Scheduler

from dieshot.simulator.sweep.engines import slurm_queue

ARRAY_VARIABLE = "DIESHOT_ARRAY"  # the job name of the workers
AWAY_VARIABLE = "DIESHOT_AWAY_S"
AWAY_S = 300.0


class ClientWatch(SchedulerPlugin):
    """Counts the time since the last client left."""

    name = "dieshot-client-watch"

    def __init__(self, scheduler: Scheduler, away_s: float, array: str) -> None:
        self._scheduler, self._away_s, self._array = scheduler, away_s, array
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def add_client(self, scheduler: Scheduler, client: str) -> None:
        """Somebody is here."""
        self._stop_waiting()

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Somebody has left, perhaps the last one."""
        if not {each for each in scheduler.clients if each not in ("fire-and-forget", client)}:
            self._wait()

    def _wait(self) -> None:
        self._stop_waiting()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._away_s, lambda: loop.create_task(self._end()))

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _end(self) -> None:
        with contextlib.suppress(slurm_queue.QueueError):  # workers end by themselves without a scheduler
            await asyncio.to_thread(slurm_queue.cancel, self._array)
        await self._scheduler.close(reason="the client has stayed away")


def dask_setup(scheduler: Scheduler) -> None:
    """Dask's call to what it loads."""
    away_s = float(os.environ.get(AWAY_VARIABLE, AWAY_S))
    scheduler.add_plugin(ClientWatch(scheduler, away_s, os.environ[ARRAY_VARIABLE]))


def module_name() -> str:
    """Return what `dask scheduler --preload` is given."""
    return __name__


def environment(array: str) -> dict[str, str]:
    """Return what a scheduler is to find in its environment, beside what is there."""
    return {
        ARRAY_VARIABLE: array,
        # deaths are counted for runs, by the client
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1000000",
        "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
        "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "1000",  # what runs have told stays in memory as long
    }
