"""An interpreter on which what Linux alone has is missing: names of the standard library, ioctls, and /proc.

Run as ``python macos.py INTERPRETER [-I -S] (-m MODULE | -c CODE | SCRIPT) ARGUMENTS...``; INTERPRETER stands for it in
`sys.executable`, so that what it starts misses the same. Libraries see the platform as it is: only this project's own
calls are tried here.
"""

import contextlib
import ctypes
import fcntl
import os
import runpy
import signal
import socket
import sys
from pathlib import Path
from typing import Any

LINUXS = (
    (os, ("memfd_create", "sched_getaffinity", "sched_setaffinity", "pidfd_open", "setns", "unshare", "eventfd",
          "splice", "O_TMPFILE", "O_PATH")),
    (signal, ("sigtimedwait", "sigwaitinfo", "pidfd_send_signal")),
    (socket, ("SO_PEERCRED", "SO_PASSCRED", "SCM_CREDENTIALS", "SO_BINDTODEVICE", "MSG_CMSG_CLOEXEC", "AF_NETLINK",
              "TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_QUICKACK", "SOCK_CLOEXEC", "SOCK_NONBLOCK")),
)  # fmt: skip
OWN = f"{os.sep}p2pcache{os.sep}"


class Library:
    """The C library without prctl."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def __getattr__(self, name: str) -> Any:
        if name == "prctl":
            raise AttributeError("prctl")
        return getattr(self.library, name)


def asked_by_this_project() -> bool:
    """Whether a frame of the package is within a few calls above, and no other library's in between."""
    frame = sys._getframe(2)
    for _ in range(6):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        if OWN in frame.f_code.co_filename:
            return True
        if "site-packages" in frame.f_code.co_filename:
            return False
    return False


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and str(arguments[0]).startswith(("/proc/", "/sys/")) and asked_by_this_project():
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


def pretend() -> None:
    # Libraries that look for a name when they are loaded have found it by now.
    import asyncio
    import subprocess

    import_quietly("trio", "uvloop", "uvicorn", "aiohttp")
    del asyncio, subprocess
    for module, names in LINUXS:
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    ioctl, pair, library = fcntl.ioctl, socket.socketpair, ctypes.CDLL

    def no_ioctl(file: Any, request: int, *arguments: Any) -> Any:
        if asked_by_this_project():
            raise OSError(25, "Inappropriate ioctl for device")
        return ioctl(file, request, *arguments)

    def no_packets(*arguments: Any, **named: Any) -> Any:
        if socket.SOCK_SEQPACKET in arguments:
            raise OSError(43, "Protocol not supported")
        return pair(*arguments, **named)

    vars(fcntl)["ioctl"] = no_ioctl
    vars(socket)["socketpair"] = no_packets
    vars(ctypes)["CDLL"] = lambda name, *more, **named: Library(library(name, *more, **named))
    sys.addaudithook(refuse)


def import_quietly(*names: str) -> None:
    for name in names:
        with contextlib.suppress(ImportError):  # the supervisor's interpreter has no packages
            __import__(name)


def main() -> None:
    _, interpreter, *rest = sys.argv
    while rest[0] in ("-I", "-S", "-P", "-E"):
        del rest[0]
    if rest[0] != "-c" and rest[0] != "-m":
        sys.path[0] = str(Path(rest[0]).parent)
    pretend()
    sys.executable = interpreter
    if rest[0] == "-m":
        sys.path[0] = str(Path.cwd())
        sys.argv = rest[1:]
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    elif rest[0] == "-c":
        sys.argv = ["-c", *rest[2:]]
        exec(rest[1], {"__name__": "__main__"})
    else:
        sys.argv = rest
        runpy.run_path(rest[0], run_name="__main__")


if __name__ == "__main__":
    main()
