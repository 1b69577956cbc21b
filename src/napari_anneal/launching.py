"""One command, several processes: starts a command once a device of this machine, and sees all of them to their end.

Every process learns its number from the environment, by the names that torchrun uses too (``LOCAL_RANK``,
``NODE_RANK``, ``MASTER_ADDR``, ``MASTER_PORT``, ``WORLD_SIZE``), so torchrun and SLURM can do the same job.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from napari_anneal.errors import InputError

__all__ = ["is_first", "is_launched", "launch"]

# When one process has failed, the others soon find out by themselves, and say and save what they can.
PATIENCE_S = 30.0
LOOK_EVERY_S = 0.1
MEETING_POINT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


def is_launched() -> bool:
    """Whether this process is one of several that something has started: this module, torchrun or SLURM."""
    if "LOCAL_RANK" in os.environ:
        return True
    if "SLURM_NTASKS" not in os.environ:
        return False
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    return SLURMEnvironment.detect()


def is_first() -> bool:
    """Whether this process is the one that speaks to the user: the first of several, or the only one."""
    if not is_launched():
        return True
    names = ("RANK",) if "RANK" in os.environ else ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(int(os.environ.get(name, 0)) == 0 for name in names)


def launch(devices: int, nodes: int, command: Sequence[str]) -> int:
    """Start a command once a device and wait for all of them.

    Parameters
    ----------
    devices, nodes
        Processes on this machine, and machines; on each of those the same command is to be started.
    command
        Program and arguments.

    Returns
    -------
    int
        Exit status: 0 if all ended well, else that of the first process that did not.

    Raises
    ------
    InputError
        Several machines, and the environment does not say where they meet.
    """
    place = _meeting_point(devices, nodes)
    processes = [
        subprocess.Popen(command, env=os.environ | place | {"LOCAL_RANK": str(rank)}) for rank in range(devices)
    ]
    with _ended(processes):
        deadline = math.inf
        while None in (statuses := [process.poll() for process in processes]) and time.monotonic() < deadline:
            if any(statuses):
                deadline = min(deadline, time.monotonic() + PATIENCE_S)
            time.sleep(LOOK_EVERY_S)
        for rank, process in enumerate(processes):
            if process.returncode is not None and process.returncode < 0:
                name = signal.Signals(-process.returncode).name
                print(f"napari-anneal: process {rank} of this run was ended by {name}.", file=sys.stderr)
    statuses = [process.returncode for process in processes]
    return next((status if status > 0 else 1 for status in statuses if status), 0)


def _meeting_point(devices: int, nodes: int) -> dict[str, str]:
    """Environment by which the processes find each other."""
    missing = [name for name in MEETING_POINT if name not in os.environ]
    if nodes > 1 and missing:
        raise InputError(
            f"{nodes} machines need to know where they meet: set MASTER_ADDR and MASTER_PORT (the first machine and a "
            f"free port on it) and NODE_RANK (0 … {nodes - 1}) on each, or start the command with torchrun or srun; "
            f"missing: {', '.join(missing)}."
        )
    alone = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"} if nodes == 1 else {}
    return alone | {"WORLD_SIZE": str(devices * nodes)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _ended(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Leave no process behind, whatever ends this one; an interruption reaches them by itself, and they save first."""

    def stop(*_: Any) -> None:
        raise SystemExit(1)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        _wait(processes, PATIENCE_S)
        raise
    finally:
        for ask in (subprocess.Popen.terminate, subprocess.Popen.kill):
            for process in processes:
                if process.poll() is None:
                    ask(process)
            _wait(processes, PATIENCE_S / 10)
        signal.signal(signal.SIGTERM, before)


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while None in [process.poll() for process in processes] and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
