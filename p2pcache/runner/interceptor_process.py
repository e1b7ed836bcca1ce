"""The process that has GitHub's names on this machine, beside the node: ``PLAN --secrets-fd N``.

`intercepted_job` starts it under a supervisor of its own, which holds its listeners and its key while it is replaced.
When it is told to end, or its supervisor dies, the names go first: who asks for them from then on finds GitHub.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from p2pcache import files
from p2pcache.interception import certificate, counts, dialling, heartbeat
from p2pcache.interception.accepting import accept, places
from p2pcache.interception.connect_head import TunnelTarget
from p2pcache.interception.connect_proxy import HTTPS, ConnectProxy
from p2pcache.interception.interceptor import Answering, Interceptor
from p2pcache.interception.processes import Processes
from p2pcache.interception.resolver import RealAddresses
from p2pcache.interception.trust_folder import Followed
from p2pcache.interception.tunnel import Side
from p2pcache.proxies import Proxies
from p2pcache.runner import as_root, watch
from p2pcache.settings import InterceptorSettings, hide

OVER = signal.SIGUSR1
"""Tells it that nobody is to be answered any more."""
LISTENING_SECONDS = 1.0
"""How long connections are still taken once the names are gone: somebody may have asked for one a moment ago."""
ENDING_SECONDS = 4.0
"""How long tunnels that move may go on after that."""
QUIET_SECONDS = 0.5
KEEPING_SECONDS = 1.0
READ_BYTES = 512 << 10
"""More than what uvloop reads at once."""
_PR_SET_PDEATHSIG = 1

log = logging.getLogger("p2pcache")


class InterceptorPlan(msgspec.Struct, frozen=True):
    """What `intercepted_job` hands over.

    Attributes:
        node: the node's unix socket.
        names: by host: the descriptor of its listener, 0 where there is none; and the addresses that it had before.
        proxy: the descriptor of the proxy's listener.
        certificate: its path.
        ours: the paths by which it is named.
        folder: the one that ``SSL_CERT_DIR`` names, and those that it follows.
        directory: for `counts.json` and `ready.json`.
        owner: of the lines in the hosts file, and that file.
    """

    node: str
    names: dict[str, tuple[int, list[str]]]
    proxy: int
    certificate: str
    ours: list[str]
    directory: str
    owner: str = ""
    hosts_file: str = ""
    folder: str = ""
    folders: list[str] = []


class InterceptorProcess:
    """The listeners, and what serves them."""

    def __init__(self, plan: InterceptorPlan, key: bytes) -> None:
        self._plan = plan
        self._directory = Path(plan.directory)
        answering = Answering(
            Path(plan.node), certificate.context(Path(plan.certificate).read_bytes(), key), frozenset(plan.ours)
        )
        self._kept = self._directory / "counts.json"
        self._interceptor = Interceptor(
            answering, Processes(os.geteuid(), Path(plan.certificate)), counts.read(self._kept)
        )
        self._proxies = Proxies()
        self._folder = Followed(Path(plan.folder), list(map(Path, plan.folders)))

    async def run(self, stopped: asyncio.Event) -> None:
        """Serve until `stopped`, then end in order."""
        free = asyncio.Semaphore(places())
        faces = self._faces()
        tasks = [asyncio.create_task(accept(*face, free)) for face in faces]
        tasks.append(asyncio.create_task(self._keep_counts()))
        tasks.append(asyncio.create_task(heartbeat.watch(Path(self._plan.node), self._heard)))
        asked = asyncio.create_task(stopped.wait())
        files.replace(self._directory / "ready.json", json.dumps({"pid": os.getpid()}).encode())
        try:
            ended, _ = await asyncio.wait([asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()  # a listener that nobody serves would hold its clients: the next process takes it over
            self.pass_all()
            await asyncio.to_thread(withdraw, self._plan.owner, self._plan.hosts_file)
            await asyncio.sleep(LISTENING_SECONDS)
            await self._drained()
        finally:
            for task in (asked, *tasks):
                task.cancel()
            await asyncio.gather(asked, *tasks, return_exceptions=True)
            for listener, _ in faces:
                listener.close()
            self._interceptor.close()
            self._keep()

    def _heard(self, answers: bool) -> None:
        self._interceptor.node_answers = answers

    def pass_all(self) -> None:
        """Answer nobody any more, and write what was counted: the job's cache ends."""
        self._interceptor.passing = True
        self._interceptor.counts.over = True
        self._keep()

    def _faces(self) -> list[tuple[socket.socket, Callable[[socket.socket], Awaitable[None]]]]:
        faces: list[tuple[socket.socket, Callable[[socket.socket], Awaitable[None]]]] = []
        found = {host: RealAddresses(host, tuple(seen)) for host, (_, seen) in self._plan.names.items()}
        for host, (descriptor, _) in self._plan.names.items():
            if descriptor:
                serve = functools.partial(self._by_name, host, functools.partial(_dial, found[host]))
                faces.append((socket.socket(fileno=descriptor), serve))
        proxied = {host: functools.partial(self._dial_proxied, host, each) for host, each in found.items()}
        faces.append(
            (socket.socket(fileno=self._plan.proxy), ConnectProxy(self._interceptor, proxied, os.geteuid()).serve)
        )
        return faces

    async def _by_name(
        self, host: str, dial: Callable[[], Awaitable[socket.socket]], connection: socket.socket
    ) -> None:
        await self._interceptor.serve(connection, host, dial)

    async def _dial_proxied(self, host: str, addresses: RealAddresses) -> socket.socket:
        target = TunnelTarget(host, HTTPS)
        if self._proxies.of(f"https://{target}").url is None:
            return await _dial(addresses)
        return await dialling.through_proxy(target, self._proxies)

    async def _drained(self) -> None:
        """Wait for tunnels in which something moves."""
        end = time.monotonic() + ENDING_SECONDS
        while moving := [pair for pair in tuple(self._interceptor.pairs) if _moves(*pair)]:
            closed = [side.closed for pair in moving for side in pair]
            await asyncio.wait(closed, timeout=QUIET_SECONDS)
            if time.monotonic() >= end:
                return

    async def _keep_counts(self) -> None:
        kept = b""
        while True:
            await asyncio.sleep(KEEPING_SECONDS)
            with contextlib.suppress(OSError):
                self._folder.refresh()
            if (now := msgspec.json.encode(self._interceptor.counts)) != kept:
                self._keep()
                kept = now

    def _keep(self) -> None:
        with contextlib.suppress(OSError):
            self._interceptor.counts.keep(self._kept)


def _moves(near: Side, far: Side) -> bool:
    return time.monotonic() - max(near.moved_at, far.moved_at) < QUIET_SECONDS


async def _dial(addresses: RealAddresses) -> socket.socket:
    return await dialling.direct(await addresses(), HTTPS)


def withdraw(owner: str, hosts_file: str) -> None:
    """Take the names out of the hosts file; what goes wrong is logged."""
    if owner:
        try:
            as_root.withdraw(owner, Path(hosts_file))
        except OSError as error:
            log.warning("%s: %s", hosts_file, error)


async def _main(process: InterceptorProcess) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    asyncio.get_running_loop().add_signal_handler(OVER, process.pass_all)
    await process.run(stopped)


def _end_with_parent() -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _keep_memory() -> None:
    """Have glibc keep what uvloop's TLS reads into: 256 KB anew for each read, else taken from the system each time.

    It does so for blocks of a size that was freed once (mallopt(3), M_MMAP_THRESHOLD).
    """
    bytes(READ_BYTES)


def main(arguments: list[str]) -> Any:
    """Run until a signal; the exit status is 2 where the plan or the key cannot be used."""
    _end_with_parent()
    _keep_memory()
    hide(watch.received(int(arguments[arguments.index("--secrets-fd") + 1])))
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        plan = msgspec.json.decode(arguments[0], type=InterceptorPlan)
        key = InterceptorSettings.take().key
    except (msgspec.DecodeError, KeyError) as error:
        print(f"the interceptor cannot be started: {error}", file=sys.stderr)
        return watch.USAGE_ERROR
    try:
        process = InterceptorProcess(plan, key)
    except OSError as error:
        print(f"the interceptor cannot be started: {error}", file=sys.stderr)
        return watch.USAGE_ERROR
    uvloop.run(_main(process))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
