"""A command ends with the process that started it, even when that is killed."""

import signal
import subprocess
import sys
from pathlib import Path

from p2pcache.scenarios import tethered as module
from p2pcache.scenarios.tethered import tethered

PARENT = f"""
import subprocess, sys
sys.path.insert(0, {str(Path(module.__file__).parents[2])!r})
from p2pcache.scenarios.tethered import tethered
child = subprocess.Popen(tethered([sys.executable, "-c", "print('up', flush=True); input()"]), stdin=subprocess.PIPE)
child.wait()
"""


def test_what_is_killed_takes_its_command_along() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"up\n"
        parent.send_signal(signal.SIGKILL)
        assert parent.stdout.read() == b"", "the last that could write has ended"


def test_a_command_is_run_as_it_is() -> None:
    done = subprocess.run(tethered(["sh", "-c", "echo $0; exit 3", "there"]), capture_output=True, timeout=30)
    assert (done.returncode, done.stdout) == (3, b"there\n")
    done = subprocess.run(tethered(["/nonexistent/command"]), capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, b"/nonexistent/command: No such file or directory\n")


def test_where_its_parent_is_gone_it_does_not_start() -> None:
    command = tethered(["echo", "started"])
    command[command.index(module.__file__) + 1] = "1"
    assert subprocess.run(command, capture_output=True, timeout=30).stdout == b""
