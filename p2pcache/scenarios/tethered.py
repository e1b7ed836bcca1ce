"""Run a command that ends with its parent, however that ends: ``python -I -S tethered.py PARENT COMMAND...``.

A script of its own, standard library only, since it is started for each process. The kernel's promise outlives the
exec (prctl(2), PR_SET_PDEATHSIG); where there is no such call, the command runs as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tethered(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` as a child of this process, tied to its life."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(arguments: Sequence[str]) -> None:
    """Become the command; end at once where the parent is gone already."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(arguments[0]):
            return
    try:
        os.execvp(arguments[1], list(arguments[1:]))  # noqa: S606 - what this is for
    except OSError as error:
        sys.exit(f"{arguments[1]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
