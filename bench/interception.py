"""What the interceptor adds to a memory hit: a request on an open connection, and a new connection.

Run it alone: ``python bench/interception.py [--rounds 7]``; exit status 1 if a target is missed. The clients are wrk,
for requests, and a Python process, for connections, whose variables name the certificate: each new connection is looked
at as in a job. One node is asked in turns: through the interceptor, at its own port, and through a server that does TLS
and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import _tools as tools
import msgspec
import uvloop

from p2pcache.interception import certificate
from p2pcache.runner import supervisor
from p2pcache.runner.interceptor_process import InterceptorPlan
from p2pcache.settings import INTERCEPTOR_KEY

HOST = "localhost"
"""The name that is intercepted, since wrk names the host of its URL."""
TARGET = "/repos/octo/app/issues?per_page=3"
HEADERS = {"Host": "api.github.com", "Authorization": "token ghp_bench", "Accept": "application/vnd.github+json"}
CONNECTIONS = 40
REQUEST_US, CONNECTION_MS = 60.0, 2.0
INTERCEPTED, PLAIN, TLS = "interceptor", "node", "plain TLS"
SECONDS = 20.0


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--client", help=argparse.SUPPRESS)
    options.add_argument("--front", nargs=4, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.front:
        uvloop.run(front(*chosen.front))
    if chosen.client:
        return client(json.loads(chosen.client), chosen.rounds)
    tools.needs("wrk")
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        home = Path(scratch)
        places, trusted = _start(home, running)
        named = tools.clean_environment(home, SSL_CERT_FILE=trusted, REQUESTS_CA_BUNDLE=trusted)
        command = [sys.executable, __file__, "--client", json.dumps(places), "--rounds", str(chosen.rounds)]
        done = subprocess.run(command, env=named, capture_output=True, text=True, check=True)
        connections = json.loads(done.stdout)
        # A look takes it for curl, by its name.
        client_of_c = str(shutil.copy(shutil.which("wrk") or "", home / "curl"))
        requests = [
            {
                place: tools.wrk(_url(place, port), 1, 1, HEADERS, client_of_c, named).p50
                for place, port in places.items()
            }
            for _ in range(chosen.rounds)
        ]
        counted = home / "interceptor" / "counts.json"
        supervisor.stop(home / "interceptor", SECONDS)
        answered = json.loads(counted.read_bytes())
    # wrk tries first whether it can connect, and says nothing.
    if answered["passed_by"].keys() - {"unknown"} or answered["failed"]:
        sys.exit(f"the client was not answered: {answered}")
    return _shown(requests, connections)


def _shown(requests: list[dict[str, float]], connections: list[dict[str, float]]) -> int:
    print(f"{'':14}{'request':>12}{'of node':>9}{'connection':>14}{'of TLS':>8}")
    for place in (INTERCEPTED, PLAIN, TLS):
        request = statistics.median(each[place] for each in requests)
        connection = statistics.median(each[place] for each in connections)
        ratio = statistics.median(each[place] / each[PLAIN] for each in requests)
        of_tls = statistics.median(each[place] / each[TLS] for each in connections)
        print(f"{place:14}{request * 1e3:9.0f} us{ratio:9.2f}{connection * 1e3:11.2f} ms{of_tls:8.2f}")
    # Of neighbouring runs: what else the machine does cancels out.
    more = statistics.median(each[INTERCEPTED] - each[PLAIN] for each in requests)
    beside = statistics.median(each[INTERCEPTED] - each[TLS] for each in requests)
    new = statistics.median(each[INTERCEPTED] - each[TLS] for each in connections)
    print(f"a request takes {beside * 1e3:.0f} us more than through plain TLS")
    return tools.verdict(
        [
            ("us that a request takes more than at the node itself", more * 1e3, "<=", REQUEST_US),
            ("ms that a new connection takes more than through plain TLS", new * 1e3, "<=", CONNECTION_MS),
        ]
    )


def _url(place: str, port: int) -> str:
    return f"{'http' if place == PLAIN else 'https'}://{HOST}:{port}{TARGET}"


def _start(home: Path, running: contextlib.ExitStack) -> tuple[dict[str, int], str]:
    """Start the stand-in GitHub, a node and an interceptor; return where they are, and the certificate's path."""
    signed, key = certificate.issue([HOST], certificate.HOSTED_LIFE)
    chain, private = home / "own.pem", home / "key.pem"
    chain.write_bytes(signed)
    private.write_bytes(key)
    env, log = tools.clean_environment(home, CACHE_TTL="3600"), home / "log"
    ready = home / "github.json"
    stand_in = [sys.executable, "-m", "p2pcache.testing", "--token=ghp_bench=octo/app", "--ready-file", str(ready)]
    upstream = tools.ready(ready, running.enter_context(tools.process(*stand_in, log=log, env=env)), log)["url"]
    tls, plain_port, node = tools.free_port(), tools.free_port(), home / "node.sock"
    serve = [
        *(sys.executable, "-m", "p2pcache", "serve", "--no-p2p", "--upstream", upstream, "--dir", str(home / "node")),
        *("--listen", f"127.0.0.1:{plain_port}", "--socket", str(node), "--ready-file", str(home / "node.json")),
    ]
    tools.ready(home / "node.json", running.enter_context(tools.process(*serve, log=log, env=env)), log)
    plain = [sys.executable, __file__, "--front", str(tls), str(node), str(chain), str(private)]
    running.enter_context(tools.process(*plain, log=log, env=env))
    tools.listening(tls)
    listener, proxy = (running.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024)) for _ in range(2))
    plan = InterceptorPlan(
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
    places: dict[str, int] = {INTERCEPTED: listener.getsockname()[1], PLAIN: plain_port, TLS: tls}
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


def client(places: Mapping[str, int], rounds: int) -> int:
    """Connect in turns, and print the seconds until each has an answer, by place and round."""
    context = ssl.create_default_context()
    lines = [f"GET {TARGET} HTTP/1.1", *(f"{name}: {value}" for name, value in HEADERS.items()), "Connection: close"]
    request = "\r\n".join([*lines, "", ""]).encode()

    def ask(place: str) -> None:
        opened = socket.create_connection(("127.0.0.1", places[place]))
        with opened if place == PLAIN else context.wrap_socket(opened, server_hostname=HOST) as connection:
            connection.sendall(request)
            answer = connection.recv(64 << 10)
            while connection.recv(64 << 10):
                pass
        if not answer.startswith(b"HTTP/1.1 200"):
            sys.exit(f"{place} answered with {answer[:80]!r}")

    def median(place: str) -> float:
        taken = []
        for _ in range(CONNECTIONS):
            started = time.perf_counter()
            ask(place)
            taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    ask(PLAIN)  # the first is fetched
    print(json.dumps([{place: median(place) for place in places} for _ in range(rounds)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
