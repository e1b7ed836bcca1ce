"""The supervised node, with a small script in the node's place: it answers HTTP with its pid on both listeners."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2pcache.runner import supervisor, watch
from p2pcache.runner.supervisor import SupervisorError

FAKE = """
import json, os, pathlib, signal, socket, sys, threading
args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
tcp = socket.socket(fileno=int(args["--listen"].removeprefix("fd:")))
unix = socket.socket(fileno=int(args["--socket-fd"]))
ready = pathlib.Path(args["--ready-file"])
def leave(*_):
    ready.with_name("flushed").write_text("yes")
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
def serve(listener):
    while True:
        c, _ = listener.accept()
        with c:
            c.recv(100)
            c.sendall(str(os.getpid()).encode())
threading.Thread(target=serve, args=(tcp,), daemon=True).start()
port = tcp.getsockname()[1]
new = ready.with_suffix(".new")
new.write_text(json.dumps({"pid": os.getpid(), "api_url": f"http://127.0.0.1:{port}", "socket": args["--socket"]}))
new.replace(ready)
serve(unix)
"""


def await_(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], list[str]]:
    def write(text: str) -> list[str]:
        path = tmp_path / "node.py"
        path.write_text(text)
        return [sys.executable, str(path)]

    return write


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    supervisor.stop(tmp_path / "run", 2)


def ask(ready: dict[str, str]) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(ready["socket"])
        client.sendall(b"?")
        return int(client.recv(100) or 0)


def test_the_node_answers_on_both_listeners_and_outlives_the_caller(
    script: Callable[..., list[str]], run: Path
) -> None:
    ready = supervisor.start([], run, 10, command=script(FAKE))
    port = int(ready["api_url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5) as tcp:
        tcp.sendall(b"?")
        assert int(tcp.recv(100)) == ask(ready) == ready["pid"]
    state = supervisor.status(run)
    assert state is not None
    assert os.getsid(state["pid"]) != os.getsid(0), "a session of its own"
    for fd in "012":
        held = Path(f"/proc/{state['pid']}/fd/{fd}").readlink()
        assert not str(held).startswith("pipe:"), "no hold on a step's output"
    assert supervisor.ready(run) == ready


def test_everybody_in_the_job_may_connect(script: Callable[..., list[str]], run: Path) -> None:
    ready = supervisor.start([], run, 10, command=script(FAKE))
    assert stat.S_IMODE(Path(ready["socket"]).stat().st_mode) == 0o666


def test_a_killed_node_is_back_and_who_asked_meanwhile_is_answered(script: Callable[..., list[str]], run: Path) -> None:
    ready = supervisor.start([], run, 10, command=script(FAKE))
    first = ask(ready)
    os.kill(first, signal.SIGKILL)
    begun = time.monotonic()
    await_(lambda: watch.started_at(first) is None)
    second = ask(ready)  # waits in the backlog
    assert second not in (0, first)
    assert time.monotonic() - begun < 2
    state = supervisor.status(run)
    assert state is not None
    assert state["restarts"] == 1


def test_stop_lets_the_node_flush_and_leaves_nothing(script: Callable[..., list[str]], run: Path) -> None:
    ready = supervisor.start([], run, 10, command=script(FAKE))
    state = supervisor.status(run)
    assert state is not None
    assert supervisor.stop(run)
    assert (run / "flushed").read_text() == "yes"
    assert watch.started_at(state["pid"]) is None
    assert watch.started_at(ready["pid"]) is None
    assert not Path(ready["socket"]).exists()
    assert supervisor.status(run) is None
    assert not supervisor.stop(run), "a second stop finds nothing"


def test_a_node_that_does_not_leave_is_killed(script: Callable[..., list[str]], run: Path) -> None:
    ready = supervisor.start([], run, 10, command=script(FAKE.replace("os._exit(0)", "pass")))
    assert supervisor.stop(run, 0.3)
    await_(lambda: watch.started_at(ready["pid"]) is None)


def test_stop_ends_a_node_whose_supervisor_was_killed(script: Callable[..., list[str]], run: Path) -> None:
    ready = supervisor.start([], run, 10, command=script(FAKE))
    state = supervisor.status(run)
    assert state is not None
    os.kill(state["pid"], signal.SIGKILL)
    await_(lambda: watch.started_at(state["pid"]) is None)
    assert supervisor.stop(run, 0.3)
    await_(lambda: watch.started_at(ready["pid"]) is None)


def test_it_ends_when_the_job_took_its_folder_away(script: Callable[..., list[str]], run: Path) -> None:
    """Where no post step ended it, and no runner did: the runner's temporary folder is emptied all the same."""
    supervisor.start([], run, 10, command=script(FAKE))
    state = supervisor.status(run)
    assert state
    shutil.rmtree(run)
    os.kill(state["pid"], signal.SIGHUP)  # it looks every half minute, and when it is woken
    await_(lambda: watch.started_at(state["pid"]) is None and watch.started_at(state["node"]) is None)


def test_a_pid_used_again_is_not_the_node(run: Path) -> None:
    run.mkdir()
    other = {"pid": os.getpid(), "started": 1, "node": os.getpid(), "node_started": 1, "restarts": 0}
    (run / "supervisor.json").write_text(json.dumps(other))
    assert supervisor.status(run) is None
    assert not supervisor.stop(run)


def test_one_node_for_a_directory(script: Callable[..., list[str]], run: Path) -> None:
    supervisor.start([], run, 10, command=script(FAKE))
    with pytest.raises(SupervisorError, match="already running"):
        supervisor.start([], run, 10, command=script(FAKE))


def test_a_usage_error_is_told_at_once(script: Callable[..., list[str]], run: Path) -> None:
    refused = "import sys; sys.exit('--share: read \\x1b[31mx: expected scope') if len(sys.argv) < 2 else None\n"
    refused += "sys.stderr.write('--share: read \\x1b[31mx: expected scope\\n'); sys.exit(2)"
    with pytest.raises(SupervisorError, match=r"did not start.*--share: read \?\[31mx") as caught:
        supervisor.start([], run, 10, command=script(refused))
    assert "\x1b" not in str(caught.value)


def test_a_node_that_is_never_ready_is_stopped(script: Callable[..., list[str]], run: Path) -> None:
    with pytest.raises(SupervisorError, match=r"not ready after 0.3 s"):
        supervisor.start([], run, 0.3, command=script("import time; time.sleep(60)"))
    assert supervisor.status(run) is None


def test_a_node_that_keeps_dying_is_given_up(
    script: Callable[..., list[str]], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "__file__", str(quick_watch(run)))
    config = run.parent / "config.yml"
    config.touch()
    with pytest.raises(SupervisorError, match="did not start: no disk"):
        supervisor.start([], run, 10, command=script("import sys; sys.exit('no disk')"), remove_at_end=[config])
    assert (run / "node.log").read_text().count("no disk") == watch.MOST_FAILURES
    assert not config.exists(), "whoever was led to the node goes to GitHub again"


def quick_watch(run: Path) -> Path:
    """The supervisor with pauses too short to wait for."""
    path = run.parent / "watch.py"
    text = (
        Path(watch.__file__)
        .read_text()
        .replace("LONGEST_PAUSE_SECONDS = 0.05, 2.0", "LONGEST_PAUSE_SECONDS = 0.01, 0.01")
    )
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        pytest.param(["--listen", "nonsense"], "expected HOST:PORT", id="no port"),
        pytest.param(["--listen=127.0.0.1:70000"], "expected HOST:PORT", id="no such port"),
        pytest.param(["--listen", "192.0.2.1:0"], "an address of this machine", id="foreign address"),
        pytest.param(["--socket", "/tmp/" + "x" * 110], "at most 107 bytes", id="long path"),
        pytest.param(["--socket", "/proc/node.sock"], "may write", id="unwritable"),
    ],
)
def test_what_cannot_be_bound_is_one_clear_line(flags: list[str], said: str, run: Path) -> None:
    with pytest.raises(SupervisorError, match=said):
        supervisor.start(flags, run, 1)


def test_a_taken_port_and_a_taken_path(run: Path, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SupervisorError, match="name another port"),
    ):
        supervisor.start(["--listen", f"127.0.0.1:{taken.getsockname()[1]}"], run, 1)
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(SupervisorError, match="another node answers"):
            supervisor.start(["--socket", str(path)], run, 1)


def test_a_socket_left_by_a_dead_node_is_replaced(script: Callable[..., list[str]], run: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
    ready = supervisor.start(["--socket", str(path)], run, 10, command=script(FAKE))
    assert ask(ready) == ready["pid"]


def test_the_supervisor_is_small(script: Callable[..., list[str]], run: Path) -> None:
    supervisor.start([], run, 10, command=script(FAKE))
    state = supervisor.status(run)
    assert state is not None
    rss = next(line for line in Path(f"/proc/{state['pid']}/status").read_text().splitlines() if "VmRSS" in line)
    assert int(rss.split()[1]) < 20_000, rss


def test_the_log_is_bounded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.mkdir()
    log = run / "node.log"
    log.write_bytes(b"x" * 2000)
    monkeypatch.setattr(watch, "LOG_BYTES", 1000)
    monkeypatch.setattr(watch, "Held", lambda: None)  # it lives as long as its process
    saved = os.dup(2)
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 2)
        watch.Watch(run, [], ["x"], {}, lambda _: 0)._bound_log()
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    assert log.stat().st_size == 0
    assert (run / "node.log.1").stat().st_size == 2000
