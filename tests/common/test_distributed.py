"""The processes of a run: one that fails, is killed or stopped ends the others, and is named; a long report is waited for."""

import os
import socket
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from tests.forked import python
from tests.helpers import ROOT, messages
from trm_arc.common.device import find_device
from trm_arc.common.distributed import find_process_group, share_failure, unused_launch_settings
from trm_arc.common.errors import InputError, LostProcessError

says = messages(__name__)

PROGRAM = """
import os, signal, sys, time, torch
from trm_arc.common import distributed
from trm_arc.common.device import find_device
from trm_arc.common.distributed import find_process_group
from trm_arc.common.errors import InputError
from trm_arc.common.peers import Patience
from trm_arc.common.program import run

def main(arguments):
    group = find_process_group(cpu=True, patience=Patience(beat=0.1, grace=1.0, silence={silence}))
    group.sum(torch.ones(1))
    if group.rank == {which}:
        {act}
    {others}
    return 0

run(main)
"""
EXCHANGE = "group.sum(torch.ones(1))"


def start(which: int, act: str, others: str = EXCHANGE, silence: float = 100.0) -> list[subprocess.Popen[str]]:
    """Two processes, of which one does something of its own before both do the same."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [*python(), "-c", PROGRAM.format(which=which, act=act, others=others, silence=silence)]
    return [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def ends(processes: list[subprocess.Popen[str]], rank: int) -> tuple[int, str]:
    """The exit code of a process, and what it said."""
    _, error = processes[rank].communicate(timeout=120)
    return processes[rank].returncode, error


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes, killed at the end of the test."""
    processes = start(*request.param[:-1], **request.param[-1])
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


STOP, KILL = "os.kill(os.getpid(), signal.SIGSTOP)", "os.kill(os.getpid(), signal.SIGKILL)"
WRONG, BUG = "raise InputError('the disk is full')", "raise KeyError('bug')"
# The others wait in an exchange, or compute for long.
LONG = "time.sleep(100)"
CASES = ((0, KILL, EXCHANGE), (1, KILL, LONG), (1, WRONG, LONG), (0, BUG, EXCHANGE))


@pytest.mark.parametrize("pair", [(which, STOP, {"silence": 2.0}) for which in (0, 1)], indirect=True)
def test_a_stopped_process_is_named(pair: list[subprocess.Popen[str]], request: pytest.FixtureRequest) -> None:
    stopped = request.node.callspec.params["pair"][0]
    code, error = ends(pair, 1 - stopped)
    assert code == 1
    assert says("no-sign-of-life").format(stopped) in error.splitlines()[-1]


@pytest.mark.parametrize("pair", [(*case, {}) for case in CASES], indirect=True)
def test_one_that_fails_ends_the_others_with_its_sentence(
    pair: list[subprocess.Popen[str]], request: pytest.FixtureRequest
) -> None:
    which, act = request.node.callspec.params["pair"][:2]
    code, error = ends(pair, 1 - which)
    assert code == 1, "2 would say that the input is wrong"
    assert "Traceback" not in error
    said = error.splitlines()[-1]  # torch writes lines of its own where process 0, which keeps the store, is gone
    assert f"process {which} of 2" in said
    assert {KILL: says("has-ended"), WRONG: "the disk is full", BUG: "KeyError: 'bug'"}[act] in said


@pytest.mark.parametrize("pair", [(0, "time.sleep(3)", "", {})], indirect=True)
def test_a_process_that_writes_for_long_is_waited_for(pair: list[subprocess.Popen[str]]) -> None:
    assert [ends(pair, rank) for rank in (1, 0)] == [(0, ""), (0, "")]


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16", "--mixed_precision"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "--dynamo_backend"),
        ("ACCELERATE_USE_FSDP", "true", "--use_fsdp"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "--use_deepspeed"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "--gradient_accumulation_steps"),
    ],
)
def test_what_the_launcher_was_told_in_vain_is_said(name: str, value: str, flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other, idle in (("MIXED_PRECISION", "no"), ("DYNAMO_BACKEND", "NO"), ("GRADIENT_ACCUMULATION_STEPS", "1")):
        monkeypatch.setenv(f"ACCELERATE_{other}", idle)
    assert unused_launch_settings() == ""
    monkeypatch.setenv(name, value)
    assert flag in unused_launch_settings()


@pytest.mark.parametrize("asked", ["true", "1", ""])
def test_the_launcher_may_ask_for_the_cpu(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", asked)
    assert find_device(precision="float32").device.type == ("cpu" if asked else "cuda")


@pytest.mark.parametrize("failure", ["process 1 of 2 has ended", ""])
def test_a_fault_of_an_exchange_is_another_one_s_only_if_that_is_known(failure: str) -> None:
    told: list[str] = []
    peers = SimpleNamespace(describe_failure=lambda: failure, fail=told.append)
    error = RuntimeError("NCCL error in a file: unhandled cuda error\n\nmore")
    if failure:
        with pytest.raises(LostProcessError, match=failure):
            share_failure(error, [peers])
        assert not told
    else:
        share_failure(error, [peers])
        assert told == ["RuntimeError: NCCL error in a file: unhandled cuda error"]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}, "RANK"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "70000"}, "MASTER_PORT"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(variables: dict, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as refused:
        find_process_group(cpu=True)
    assert refused.value.flag == named
