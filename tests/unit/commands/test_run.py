"""A command with a node around it, as a shell sees it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import p2pcache
from tests.support.processes import ended


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["no-such-command-anywhere"], 127),
    ],
)
def test_run_ends_as_its_command_does(tmp_path: Path, command: list[str], status: int) -> None:
    ended = p2pcache(tmp_path, "run", "--no-p2p", "--", *command)
    assert ended.returncode == status
    assert "Traceback" not in ended.stderr


def heed() -> None:
    """Undo what the tests themselves may have been started under (nohup, a script's background)."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def wrapped(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Start ``run`` around a shell script, once that has said its first line; gives the process and that line."""

    def start(script: str, *before: str) -> tuple[subprocess.Popen[str], str]:
        command = [*before, sys.executable, "-m", "p2pcache", "run", "--no-p2p", "--", "sh", "-c", script]
        process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed,
        )
        ends.enter_context(ended(process))
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    with contextlib.ExitStack() as ends:
        yield start


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_run_whose_terminal_is_closed_leaves_nothing_behind(
    wrapped: Callable[..., tuple[subprocess.Popen[str], str]], number: signal.Signals
) -> None:
    process, line = wrapped('echo "$$ $P2PCACHE_SOCKET"; exec sleep 300')
    pid, path = line.split()
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "no API calls went through the cache" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert not Path(path).parent.exists()


# A name that `run` uses on its way, in which the signal comes.
MOMENTS = {
    "settings": "import p2pcache.commands.run as there; there.with_hub = come",
    "a node runs": "import p2pcache.node as there; there.Node.settled = come",
    "the command starts": "import asyncio as there; there.create_subprocess_exec = come",
}
PROGRAM = """
import os, signal, sys
moment, number = sys.argv.pop(), int(sys.argv.pop())
def come(*arguments, **options):
    os.kill(os.getpid(), number)
    return started(*arguments, **options)
import asyncio
started = asyncio.create_subprocess_exec if "create_subprocess_exec" in moment else lambda *_: asyncio.sleep(300)
exec(moment)
from p2pcache.cli import main
main(["run", "--no-p2p", "--", "sleep", "300"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS)
def test_run_that_is_ended_before_its_command_runs_leaves_nothing_behind(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    # Not below `tmp_path`: a socket's path has 107 bytes.
    with tempfile.TemporaryDirectory() as scratch:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(int(number)), MOMENTS[moment]],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": scratch},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed,
        )
        with ended(process):
            said = process.communicate(timeout=30)[1]  # the command would keep these pipes open
        # What comes while the command starts ends the command.
        began = moment == "the command starts" and number is signal.SIGHUP
        assert process.returncode == 128 + (signal.SIGTERM if began else number)
        assert "Traceback" not in said
        assert "Aborted" not in said
        assert not list(Path(scratch).iterdir())


def test_run_under_nohup_goes_on(wrapped: Callable[..., tuple[subprocess.Popen[str], str]]) -> None:
    process, _ = wrapped("echo ready; read line; exit 5", "sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    process.send_signal(signal.SIGHUP)
    process.communicate("go\n", timeout=30)
    assert process.returncode == 5


def test_run_says_when_a_command_cannot_be_executed(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    ended = p2pcache(tmp_path, "run", "--no-p2p", "--", str(broken))
    assert ended.returncode == 126
    assert "No such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_run_leads_its_command_to_the_node_and_leaves_its_flags_alone(tmp_path: Path) -> None:
    script = 'echo "$GITHUB_API_URL" "$@"; test -S "$P2PCACHE_SOCKET" && test -f "$GH_CONFIG_DIR/config.yml"'
    ended = p2pcache(tmp_path, "run", "--no-p2p", "sh", "-c", script, "sh", "--hub", "--dir", "x")
    assert ended.returncode == 0, ended.stderr
    url, *rest = ended.stdout.split()
    assert url.startswith("http://127.0.0.1:")
    assert rest == ["--hub", "--dir", "x"]
    assert "no API calls went through the cache" in ended.stderr
