"""A client of a store in a process of its own, to be killed: it says on a pipe what the store has acknowledged.

Run as `python store_client.py FOLDER [JOURNAL]`. It works through sweeps of `SWEEPS`, adds the next when one is
complete, and writes one line for each thing that is done: `sweep N`, `finished RUN RUN ...`, `compact`, `complete`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from runs_of_a_store import finished, keys

from dieshot.simulator.store import ledger, shard
from dieshot.simulator.store.store import Store

# Numbers behind the keys of each sweep's points: sweeps overlap, and the first repeats some.
SWEEPS = tuple([*range(start, start + 120), start, start + 1] for start in range(0, 720, 60))
CHUNK = 7
COMPACT_EVERY = 3


def work(folder: Path) -> None:
    with Store.open(folder, create=True) as store:
        for number, points in enumerate(SWEEPS, 1):
            sweep = store.add_sweep(f"sweep-{number}", f"text {number}", keys(points))
            say(f"sweep {sweep}")
            chunk = 0
            while found := store.pending(sweep, CHUNK):
                chunk += 1
                store.lease([run for run, _ in found], chunk, "worker")
                store.finish([finished(run, points[point]) for run, point in found])
                say(f"finished {' '.join(str(run) for run, _ in found)}")
                if chunk % COMPACT_EVERY == 0:
                    store.compact()
                    say("compact")
            store.compact()
            say("compact")
        say("complete")


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    shard.ROWS_AT_ONCE = 64
    ledger.JOURNAL = sys.argv[2] if len(sys.argv) > 2 else ledger.JOURNAL
    work(Path(sys.argv[1]))
