"""What the interceptor adds to a memory hit: a request on an open connection, and a new connection.

Run it alone: ``python bench/interception.py [--rounds 15]``; exit status 1 if a target is missed. The client is a
Python process whose variables name the certificate, so that each new connection is looked at as in a job. One node is
asked in turns: through the interceptor, at its own socket, and through a server that does TLS and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import _tools as tools
import msgspec
import uvloop

from p2pcache.interception import certificate
from p2pcache.runner import supervisor
from p2pcache.runner.interceptor_process import Plan
from p2pcache.settings import INTERCEPTOR_KEY

HOST = "api.github.com"
REQUEST = (
    f"GET /repos/octo/app/issues?per_page=3 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: token ghp_bench\r\n"
    "Accept: application/vnd.github+json\r\n\r\n"
).encode()
REQUESTS, CONNECTIONS = 400, 40
REQUEST_US, CONNECTION_MS = 60.0, 2.0
INTERCEPTED, PLAIN, TLS = "interceptor", "node", "plain TLS"
SECONDS = 20.0


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--client", help=argparse.SUPPRESS)
    options.add_argument("--front", nargs=4, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.front:
        uvloop.run(front(*chosen.front))
    if chosen.client:
        return client(json.loads(chosen.client), chosen.rounds)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        home = Path(scratch)
        places, trusted = _start(home, running)
        command = [sys.executable, __file__, "--client", json.dumps(places), "--rounds", str(chosen.rounds)]
        named = {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted}
        done = subprocess.run(
            command, env=tools.clean_environment(home, **named), capture_output=True, text=True, check=True
        )
        counted = home / "interceptor" / "counts.json"
        supervisor.stop(home / "interceptor", SECONDS)
        answered = json.loads(counted.read_bytes())
    if answered["passed_by"] or answered["failed"]:
        sys.exit(f"the client was not answered: {answered}")
    rounds = json.loads(done.stdout)
    return _shown(rounds["requests"], rounds["connections"])


def _shown(requests: list[dict[str, float]], connections: list[dict[str, float]]) -> int:
    print(f"{'':14}{'request':>12}{'of node':>9}{'connection':>14}{'of TLS':>8}")
    for place in (INTERCEPTED, PLAIN, TLS):
        request = statistics.median(each[place] for each in requests)
        connection = statistics.median(each[place] for each in connections)
        ratio = statistics.median(each[place] / each[PLAIN] for each in requests)
        of_tls = statistics.median(each[place] / each[TLS] for each in connections)
        print(f"{place:14}{request * 1e6:9.0f} us{ratio:9.2f}{connection * 1e3:11.2f} ms{of_tls:8.2f}")
    # Of neighbouring runs: what else the machine does cancels out.
    more = statistics.median(each[INTERCEPTED] - each[PLAIN] for each in requests)
    beside = statistics.median(each[INTERCEPTED] - each[TLS] for each in requests)
    new = statistics.median(each[INTERCEPTED] - each[TLS] for each in connections)
    print(f"a request takes {beside * 1e6:.0f} us more than through plain TLS")
    return tools.verdict(
        [
            ("us that a request takes more than at the node's socket", more * 1e6, "<=", REQUEST_US),
            ("ms that a new connection takes more than through plain TLS", new * 1e3, "<=", CONNECTION_MS),
        ]
    )


def _start(home: Path, running: contextlib.ExitStack) -> tuple[dict[str, object], str]:
    """Start the stand-in GitHub, a node and an interceptor; return where they are, and the certificate's path."""
    signed, key = certificate.issue([HOST], certificate.HOSTED_LIFE)
    chain, private = home / "own.pem", home / "key.pem"
    chain.write_bytes(signed)
    private.write_bytes(key)
    env, log = tools.clean_environment(home, CACHE_TTL="3600"), home / "log"
    ready = home / "github.json"
    stand_in = [sys.executable, "-m", "p2pcache.testing", "--token=ghp_bench=octo/app", "--ready-file", str(ready)]
    upstream = tools.ready(ready, running.enter_context(tools.process(*stand_in, log=log, env=env)), log)["url"]
    tls, node = tools.free_port(), home / "node.sock"
    serve = [
        *(sys.executable, "-m", "p2pcache", "serve", "--no-p2p", "--upstream", upstream, "--dir", str(home / "node")),
        *("--socket", str(node), "--ready-file", str(home / "node.json")),
    ]
    tools.ready(home / "node.json", running.enter_context(tools.process(*serve, log=log, env=env)), log)
    plain = [sys.executable, __file__, "--front", str(tls), str(node), str(chain), str(private)]
    running.enter_context(tools.process(*plain, log=log, env=env))
    tools.listening(tls)
    listener, proxy = (running.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024)) for _ in range(2))
    plan = Plan(
        node=str(node),
        names={HOST: (listener.fileno(), [])},
        proxy=proxy.fileno(),
        certificate=str(chain),
        ours=[str(chain)],
        directory=str(home / "interceptor"),
    )
    supervisor.start_beside(
        [sys.executable, "-m", "p2pcache.runner.interceptor_process", msgspec.json.encode(plan).decode()],
        home / "interceptor",
        SECONDS,
        listeners=[listener, proxy],
        environ={**env, INTERCEPTOR_KEY: key.decode()},
        at_end=(),
    )
    running.callback(supervisor.stop, home / "interceptor", SECONDS)
    places: dict[str, object] = {INTERCEPTED: listener.getsockname()[1], PLAIN: str(node), TLS: tls}
    return places, str(chain)


class Half(asyncio.Protocol):
    """One side of a connection through `front`; writes to the other what comes in."""

    def __init__(self, other: Half | None = None) -> None:
        self.other = other
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class Outer(Half):
    """The side of the client."""

    node = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.joining = asyncio.get_running_loop().create_task(self.join())

    async def join(self) -> None:
        _, inner = await asyncio.get_running_loop().create_unix_connection(lambda: Half(self), self.node)
        self.other = inner
        inner.transport.writelines(self.early)


async def front(port: str, node: str, chain: str, private: str) -> None:
    """Serve TLS, and the node behind it, as an event loop's own server does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(chain, private)
    Outer.node = node
    server = await asyncio.get_running_loop().create_server(Outer, "127.0.0.1", int(port), ssl=context)
    await server.serve_forever()


def client(places: Mapping[str, object], rounds: int) -> int:
    """Measure in turns, and print seconds a request and a connection, by place and round."""
    context = ssl.create_default_context()

    def connect(place: str) -> socket.socket:
        where = places[place]
        if isinstance(where, str):
            plain = socket.socket(socket.AF_UNIX)
            plain.connect(where)
            return plain
        opened = socket.create_connection(("127.0.0.1", int(str(where))))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(opened, server_hostname=HOST)

    lasting = {place: connect(place) for place in places}
    for connection in lasting.values():  # the first is fetched
        for _ in range(50):
            length = _asked(connection)

    def new(place: str) -> None:
        with connect(place) as connection:
            _asked(connection, length)

    requests = [
        {place: _median(lambda at=lasting[place]: _asked(at, length), REQUESTS) for place in places}  # type: ignore[misc]
        for _ in range(rounds)
    ]
    connections = [
        {place: _median(lambda at=place: new(at), CONNECTIONS) for place in places}  # type: ignore[misc]
        for _ in range(rounds)
    ]
    for connection in lasting.values():
        connection.close()
    print(json.dumps({"requests": requests, "connections": connections}))
    return 0


def _median(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _asked(connection: socket.socket, length: int = 0) -> int:
    """Ask, and return the length of the answer, which is read to its end."""
    connection.sendall(REQUEST)
    answer = connection.recv(64 << 10)
    if not answer.startswith(b"HTTP/1.1 200"):
        sys.exit(f"answered with {answer[:80]!r}")
    if not length:
        head, _, _ = answer.partition(b"\r\n\r\n")
        field = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        length = len(head) + 4 + int(field.partition(b":")[2])
    while len(answer) < length:
        answer += connection.recv(64 << 10)
    return length


if __name__ == "__main__":
    sys.exit(main())
