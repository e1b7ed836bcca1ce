"""A process that reaches no other but by named ports: ``unshare --net python _apart.py FOLDER PORT... -- COMMAND...``.

In its network namespace there is the loopback alone. Each PORT of it leads to the unix socket FOLDER/PORT, at which
`doors`, in the benchmark's own process, leads on to the same port of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

Opened = Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


def possible() -> bool:
    """Return whether this user may make network namespaces."""
    return os.geteuid() == 0 and all(map(shutil.which, ("unshare", "ip")))


def apart(folder: Path, ports: Sequence[int], command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` apart."""
    return ["unshare", "--net", sys.executable, __file__, str(folder), *map(str, ports), "--", *command]


@contextlib.asynccontextmanager
async def doors(folder: Path, ports: Sequence[int]) -> AsyncIterator[None]:
    """Lead on from the sockets in `folder` to the ports of this machine."""
    async with contextlib.AsyncExitStack() as stack:
        for port in ports:
            lead = _leading(lambda port=port: asyncio.open_connection("127.0.0.1", port))  # type: ignore[misc]
            server = await asyncio.start_unix_server(lead, folder / str(port))
            stack.callback(server.close)
        yield


def _leading(open_there: Callable[[], Opened]) -> Callable[..., Awaitable[None]]:
    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            back, there = await open_there()
            await asyncio.gather(_copied(reader, there), _copied(back, writer))

    return lead


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(64 << 10):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _inside(folder: Path, ports: Sequence[int], command: Sequence[str]) -> int:
    for port in ports:
        lead = _leading(lambda port=port: asyncio.open_unix_connection(folder / str(port)))  # type: ignore[misc]
        await asyncio.start_server(lead, "127.0.0.1", port)
    child = await asyncio.create_subprocess_exec(*command)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, child.terminate)
    return await child.wait()


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    at = sys.argv.index("--")
    sys.exit(asyncio.run(_inside(Path(sys.argv[1]), [*map(int, sys.argv[2:at])], sys.argv[at + 1 :])))
