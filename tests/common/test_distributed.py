"""The processes of a run: one that is stopped does not make the others wait for ever."""

import os
import socket
import subprocess

import pytest

from tests.forked import python
from tests.helpers import ROOT

PROCESS = """
import os, signal, torch
import trm_arc.common.distributed as distributed
distributed.SILENCE, distributed.BEAT = 2.0, 0.2
group = distributed.find_process_group(cpu=True)
group.sum(torch.ones(1))
if group.rank == {}:
    os.kill(os.getpid(), signal.SIGSTOP)
group.sum(torch.ones(1))
"""


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_stopped_process_is_named(stopped: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = []
    try:
        for rank in range(2):
            environment = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            command = [*python(), "-c", PROCESS.format(stopped)]
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
        _, error = processes[1 - stopped].communicate(timeout=120)
        assert processes[1 - stopped].returncode == 1
        assert f"process {stopped} of 2 has shown no sign of life" in error.splitlines()[-1]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
