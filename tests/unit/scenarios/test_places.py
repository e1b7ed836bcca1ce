"""Processes of this machine: they run, their orders fail with a reason, and all of them end."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from p2pcache.scenarios import places
from p2pcache.scenarios.places import Machine, UnexpectedError, finished, last_line, ordered, output_of

PYTHON = (sys.executable, "-S", "-c")
OBSTINATE = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_said(machine: Machine, name: str) -> None:
    async with asyncio.timeout(30):
        while not machine.log(name):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)


async def test_the_output_of_a_command() -> None:
    command = (*PYTHON, "import sys; print(sys.stdin.read()); print('no', file=sys.stderr); sys.exit(3)")
    assert await output_of(command, b"given", seconds=30) == (3, b"given\n", b"no\n")


async def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = (*PYTHON, f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    with pytest.raises(TimeoutError):
        await output_of(command, seconds=2)
    assert not file.exists() or not alive(int(file.read_text()))


async def test_a_command_is_killed_with_who_waits_for_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = (*PYTHON, f"import os, time; open({str(file)!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(600)")
    task = asyncio.create_task(output_of(command, seconds=600))
    async with asyncio.timeout(30):
        while not (file.exists() and file.read_text().endswith(" ")):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(int(file.read_text()))


async def test_ctrl_c_in_a_terminal_is_for_this_process_alone() -> None:
    _, out, _ = await output_of((*PYTHON, "import os; print(os.getsid(0) == os.getpid())"), seconds=30)
    assert out == b"True\n"


ORDER = {"do": "ready", "file": "/x"}


async def test_the_result_of_an_order() -> None:
    assert await ordered((*PYTHON, "print('{\"result\": [1]}')"), ORDER) == [1]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('print(\'{"error": "it is not there"}\')', "^it is not there$"),
        ("raise ValueError('no module')", "^ready: ValueError: no module$"),
        ("", "^ready: it ended without a word$"),
        ("print('false')", "^ready: it ended without a word$"),
    ],
)
async def test_an_order_that_fails_has_a_reason(script: str, said: str) -> None:
    with pytest.raises(UnexpectedError, match=said):
        await ordered((*PYTHON, script), ORDER)


async def test_an_order_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "ORDER_MARGIN", 0.1)
    with pytest.raises(UnexpectedError, match=r"ready: no result within 0\.1 s"):
        await ordered((*PYTHON, "import time; time.sleep(600)"), ORDER)


async def test_a_process_that_ended_is_the_reason(tmp_path: Path) -> None:
    async with Machine(tmp_path) as machine:
        await machine.start("node", ("p2pcache.no_such_module",), {})
        with pytest.raises(UnexpectedError, match=r"^node: it ended: .*No module named p2pcache\.no_such_module"):
            await machine.order("node", "ready", file=machine.path("node", "ready.json"), seconds=600)


async def test_all_processes_end_also_obstinate_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STOP_SECONDS", 0.2)
    began = time.monotonic()
    async with Machine(tmp_path) as machine:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            await machine.run(name, (*PYTHON, OBSTINATE), {})
            await until_said(machine, name)
        pids = [process.pid for process in machine._running.values()]
    assert [alive(pid) for pid in pids] == [False, False]
    assert time.monotonic() - began < 60


async def test_a_process_has_the_environment_that_it_is_given(tmp_path: Path) -> None:
    async with Machine(tmp_path) as machine:
        (tmp_path / "node").mkdir()
        await machine.run("node", (*PYTHON, "import os; print(sorted(os.environ))"), {"CACHE_SECRET": "x"})
        await until_said(machine, "node")
        assert b"'CACHE_SECRET', 'HOME'" in machine.log("node")
        assert b"'PATH'" not in machine.log("node")
        await machine.stop("node")


@pytest.mark.parametrize(
    ("output", "line"),
    [(b"", "it ended without a word"), (b"one\ntwo\n\n", "two"), (b"x" * 500, "x" * 300), (b"\xff", "�")],
)
def test_the_last_line_is_what_is_shown(output: bytes, line: str) -> None:
    assert last_line(output) == line


async def test_cleaning_up_goes_on_when_it_is_cancelled() -> None:
    begun, gate, done = asyncio.Event(), asyncio.Event(), []

    async def clean() -> None:
        begun.set()
        await gate.wait()
        done.append("all")

    task = asyncio.create_task(finished(clean()))
    await begun.wait()
    task.cancel()
    asyncio.get_running_loop().call_soon(gate.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["all"]
