"""The batch script of an array of workers: for Slurm as it is, for other batch systems to adapt."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.sweep.engines.options import EngineOptions

DEATH_TIMEOUT_S = 120
# Without a dashboard, Dask still answers with facts about itself, in the clear: nobody else is to hear that.
NO_PAGES = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")
_PARTITION = re.compile(r"[\w.,+-]+")
_TIME = re.compile(r"\d+(-\d+)?(:\d+){0,2}")
_OPTION = re.compile(r"--?[A-Za-z][\w-]*(=.*)?")

TEXT = """\
#!/bin/bash
# Workers of a dieshot sweep: each task of the array is one Dask worker with one thread. They find the scheduler by its
# file and its certificate, so the nodes have to see this folder: {folder}
{directives}
#
# Other batch systems: leave what follows as it is and write, in place of the lines above,
#   PBS       #PBS -N {name}
#             #PBS -J 0-{last}
#             #PBS -l select=1:ncpus=1
#             #PBS -r y
#             #PBS -j oe                                  (and -q QUEUE); submit by: qsub FILE
#   LSF       #BSUB -J "{name}[1-{n}]"
#             #BSUB -n 1
#             #BSUB -r
#             #BSUB -o {folder}/worker-%I.log    (and -q QUEUE); submit by: bsub < FILE
#   HTCondor  a file of its own: executable = FILE, request_cpus = 1, kill_sig = SIGTERM, job_max_vacate_time = 30,
#             output = {folder}/worker-$(Process).log, queue {n}; submit by: condor_submit
# and start the scheduler and the sweep yourself, where the nodes can reach it:
#   {scheduler}
#   dieshot sweep SWEEP.yaml --engine dask --scheduler-file {scheduler_file} \\
#       {client}

# A worker that is told to end (preemption, requeue, the end of its time) comes to the end of its run first.
is_told=
trap 'is_told=1; kill -TERM "$worker" 2>/dev/null' TERM
export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False
while
    {worker} &
    worker=$!
    wait "$worker"
    status=$?
    if [ "$is_told" ]; then
        wait "$worker"
        exit
    fi
    # Above 128: killed by a signal, as by the kernel when memory is short. Another takes its place.
    [ "$status" -gt 128 ]
do
    :
done
exit "$status"
"""


def script(options: EngineOptions, name: str, folder: Path, python: str, certificate: Sequence[str]) -> str:
    """Return the script of an array `name` of `options.workers` workers.

    folder: where scheduler file and logs are; python: the interpreter; certificate: Dask's options for it.
    InputError if an option is no option.
    """
    n = options.workers or 1
    scheduler_file = file_of(folder, name)
    quoted = shlex.quote(str(folder))
    words = worker_words(python, scheduler_file, options.interface, certificate)
    client = ["--tls-ca", certificate[1], "--tls-cert", certificate[3], "--tls-key", certificate[5]]
    return TEXT.format(
        directives="\n".join(f"#SBATCH {each}" for each in _directives(options, name, n, folder)),
        folder=quoted,
        name=name,
        n=n,
        last=n - 1,
        scheduler=shlex.join(scheduler_words(python, scheduler_file, host_of(options.interface), certificate)),
        scheduler_file=shlex.quote(str(scheduler_file)),
        client=shlex.join(client),
        worker=shlex.join(words),
    )


def file_of(folder: Path, name: str) -> Path:
    """Return the scheduler file; each array has its own, as a scheduler that ends removes its file."""
    return folder / f"{name}.json"


def scheduler_words(python: str, file: Path, host: str, certificate: Sequence[str]) -> list[str]:
    """Return the command of a scheduler that takes a port of its own choice, by TLS only; host: empty for any."""
    words = [python, "-m", "dask", "scheduler", "--host", f"tls://{host}", "--port", "0", *NO_PAGES]
    return [*words, "--scheduler-file", str(file), *certificate]


def worker_words(python: str, file: Path, interface: str | None, certificate: Sequence[str]) -> list[str]:
    """Return the command of a worker."""
    words = [python, "-m", "dask", "worker", "--scheduler-file", str(file), "--protocol", "tls", "--nthreads", "1"]
    words += ["--no-nanny", *NO_PAGES, "--memory-limit", "0", "--death-timeout", str(DEATH_TIMEOUT_S)]
    return [*words, *_interface(interface), *certificate]


def _directives(options: EngineOptions, name: str, n: int, folder: Path) -> list[str]:
    output = str(folder / "worker-%a.log")
    if not output.isprintable() or '"' in output or "%" in str(folder):
        raise InputError("Slurm cannot write to a folder of this name", key="--cluster-folder", value=str(folder))
    lines = [f"--job-name={name}", f"--array=0-{n - 1}", "--requeue", "--ntasks=1", "--cpus-per-task=1"]
    lines += [f'--output="{output}"', "--open-mode=append"]
    if options.partition is not None:
        lines.append(f"--partition={_matching(_PARTITION, options.partition, '--partition', 'a name of sinfo')}")
    if options.time is not None:
        lines.append(f"--time={_matching(_TIME, options.time, '--time', 'minutes, H:MM:SS or D-HH')}")
    expected = "an option of sbatch such as --mem=4G"
    return lines + [_matching(_OPTION, each, "--slurm-option", expected) for each in options.slurm_options]


def _matching(pattern: re.Pattern[str], value: str, key: str, expected: str) -> str:
    if not pattern.fullmatch(value) or not value.isprintable():
        raise InputError("cannot stand in a batch script", key=key, value=value, expected=expected)
    return value


def host_of(interface: str | None) -> str:
    """Return the address of one of this machine's network interfaces; empty for None. InputError if there is none."""
    if interface is None:
        return ""
    found = psutil.net_if_addrs()
    addresses = [each.address for each in found.get(interface, ()) if each.family == socket.AF_INET]
    if not addresses:
        raise InputError("no such network interface with an address", key="--interface", value=interface,
                         expected=listed(found), nearest=nearest_name(interface, found))  # fmt: skip
    return str(addresses[0])


def _interface(name: str | None) -> list[str]:
    return ["--interface", name] if name is not None else []
