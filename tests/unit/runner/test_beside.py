"""Another process beside the node, under a supervisor of its own: a small script in its place."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.runner import supervisor, watch
from p2pcache.runner.supervisor import DirectoryError, SupervisorError

FAKE = """
import json, os, pathlib, signal, socket, sys, time
sys.path.insert(0, sys.argv[1])
import watch
directory = pathlib.Path(sys.argv[2])
listener = socket.socket(fileno=int(sys.argv[3]))
given = watch.received(int(sys.argv[sys.argv.index("--secrets-fd") + 1]))
signal.signal(signal.SIGUSR1, lambda *_: (directory / "told").touch())
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
new = directory / "ready.new"
new.write_text(json.dumps({"pid": os.getpid(), "key": len(given["KEY"])}))
new.replace(directory / "ready.json")
while True:
    client, _ = listener.accept()
    with client:
        client.sendall(str(os.getpid()).encode())
"""
KEY = "k3y0f7hejob"


def await_(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    supervisor.stop(tmp_path / "run", 2)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


Start = Callable[..., dict[str, Any]]


@pytest.fixture
def start(run: Path, listener: socket.socket, tmp_path: Path) -> Start:
    """Starts a script with `environ`; at its end a file `ended` is made, with the lines that there are by then."""

    def started(script: str = FAKE, deadline: float = 30, **environ: str) -> dict[str, Any]:
        (tmp_path / "fake.py").write_text(script)
        at_end = [sys.executable, "-I", "-S", "-c", f"open({str(tmp_path / 'ended')!r}, 'a').write('x')"]
        words = [sys.executable, str(tmp_path / "fake.py"), str(Path(watch.__file__).parent), str(run)]
        return supervisor.start_beside(
            [*words, str(listener.fileno())],
            run,
            deadline,
            listeners=[listener],
            environ={"PATH": os.environ["PATH"], "KEY": KEY, **environ},
            at_end=at_end,
        )

    return started


def asked(listener: socket.socket) -> int:
    with socket.create_connection(listener.getsockname(), 30) as client:
        return int(client.recv(100) or 0)


def ended(run: Path) -> str:
    path = run.parent / "ended"
    return path.read_text() if path.exists() else ""


def test_it_gets_its_secrets_and_a_successor_has_its_listeners(
    start: Start, run: Path, listener: socket.socket
) -> None:
    ready = start()
    assert ready["key"] == len(KEY)
    first = asked(listener)
    assert first == ready["pid"]
    os.kill(first, signal.SIGKILL)
    await_(lambda: watch.started_at(first) is None)
    second = asked(listener)  # waits for it in the listener
    assert second not in (0, first)
    state = supervisor.status(run)
    assert state
    assert (state["node"], state["restarts"], ended(run)) == (second, 1, "")


def test_no_environment_and_no_word_of_either_holds_the_secret(start: Start, run: Path) -> None:
    start()
    state = supervisor.status(run)
    assert state
    for pid in (state["pid"], state["node"]):
        for name in ("environ", "cmdline"):
            try:
                seen = Path(f"/proc/{pid}/{name}").read_bytes()
            except PermissionError:  # it has closed itself, to all but root
                continue
            assert KEY.encode() not in seen


def test_a_signal_reaches_it_and_not_a_process_that_is_gone(start: Start, run: Path) -> None:
    supervisor.tell(run, signal.SIGUSR1)
    start()
    supervisor.tell(run, signal.SIGUSR1)
    await_((run / "told").exists)
    supervisor.stop(run, 5)
    supervisor.tell(run, signal.SIGUSR1)


def test_once_it_is_stopped_the_command_is_run(start: Start, run: Path) -> None:
    start()
    assert supervisor.stop(run, 20)
    assert ended(run) == "x"
    assert supervisor.status(run) is None


def test_once_it_is_given_up_the_command_is_run(
    start: Start, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = Path(watch.__file__).read_text()
    assert "LONGEST_PAUSE_SECONDS = 0.05, 2.0" in text
    quick = tmp_path / "watch.py"
    quick.write_text(text.replace("LONGEST_PAUSE_SECONDS = 0.05, 2.0", "LONGEST_PAUSE_SECONDS = 0.01, 0.01"))
    monkeypatch.setattr(watch, "__file__", str(quick))
    with pytest.raises(SupervisorError, match="did not start: no luck"):
        start("import sys; sys.exit('no luck')")
    assert ended(run) == "x"
    assert (run / "node.log").read_text().count("no luck") == watch.MOST_FAILURES


def test_once_its_plan_is_refused_the_command_is_run(start: Start, run: Path) -> None:
    with pytest.raises(SupervisorError, match="did not start: bad plan"):
        start("import sys; print('bad plan', file=sys.stderr); sys.exit(2)")
    assert ended(run) == "x"


def test_once_it_is_not_ready_in_time_the_command_is_run(start: Start, run: Path) -> None:
    with pytest.raises(SupervisorError, match=r"not ready after 0\.5 s"):
        start("import time; time.sleep(60)", 0.5)
    await_(lambda: ended(run) == "x")
    assert supervisor.status(run) is None


def test_once_the_runner_ends_what_a_job_left_the_command_is_run(start: Start, run: Path) -> None:
    start(RUNNER_TRACKING_ID="github_1")
    state = supervisor.status(run)
    assert state
    children = Path(f"/proc/{state['pid']}/task/{state['pid']}/children").read_text().split()
    (trace,) = set(children) - {str(state["node"])}
    os.kill(int(trace), signal.SIGKILL)
    await_(lambda: ended(run) == "x")
    await_(lambda: supervisor.status(run) is None)


def test_once_its_folder_is_gone_the_command_is_run(start: Start, run: Path) -> None:
    start()
    state = supervisor.status(run)
    assert state
    shutil.rmtree(run)
    os.kill(state["pid"], signal.SIGHUP)  # it looks every half minute, and when it is woken
    await_(lambda: ended(run) == "x")


def test_a_command_that_hangs_is_not_waited_for(
    run: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = Path(watch.__file__).read_text()
    quick = tmp_path / "watch.py"
    quick.write_text(text.replace("AT_END_SECONDS = 10.0", "AT_END_SECONDS = 0.1"))
    monkeypatch.setattr(watch, "__file__", str(quick))
    (tmp_path / "fake.py").write_text(FAKE)
    words = [sys.executable, str(tmp_path / "fake.py"), str(tmp_path), str(run), str(listener.fileno())]
    script = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    hangs = [sys.executable, "-I", "-S", "-c", script, str(tmp_path / "pid")]
    environ = {"PATH": os.environ["PATH"], "KEY": KEY}
    supervisor.start_beside(words, run, 30, listeners=[listener], environ=environ, at_end=hangs)
    state = supervisor.status(run)
    assert state
    assert supervisor.stop(run, 20)
    await_(lambda: watch.started_at(state["pid"]) is None)
    await_(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryError, match="file"):
        supervisor.start_beside(["x"], tmp_path / "file" / "run", 1, listeners=[], environ={}, at_end=())


def test_the_plan_is_one_word_and_holds_no_secret(start: Start, run: Path) -> None:
    start()
    state = supervisor.status(run)
    assert state
    words = Path(f"/proc/{state['pid']}/cmdline").read_bytes().split(b"\0")
    plan = next(json.loads(word) for word in words if word.startswith(b"{"))
    assert set(plan) == {"secrets", "directory", "unlink", "holds", "at_end"}
    assert plan["holds"] is False
