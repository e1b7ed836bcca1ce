"""A busy hub: hits for 50 runners that are its members too; an MCP call beside a plain hit of the same answer; its RSS.

Run it alone: ``python bench/hub.py``; exit status 1 if the target is missed.
"""

from __future__ import annotations

import http.client
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import _tools as tools
from hub_memory import CROWD, joined, listening, rss

from p2pcache.keys import keyring_of
from p2pcache.settings import load

TOKEN = "ghp_bench"
TARGET = "/repos/octo/app"
CALLS, WARM = 1000, 50
P95_MS = 10.0
RUNNERS, SECONDS, HIT_MS = 50, 5, 20.0
_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_FIELDS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_NEW = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "repository"}


def call(*, new: bool) -> tuple[str, str, str, dict[str, str]]:
    """Return the request that calls a tool, in one of the two protocols."""
    params = {"name": "repository", "arguments": {"repo": "octo/app"}, **({"_meta": _META} if new else {})}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return "POST", "/-/mcp", json.dumps(body), {**_FIELDS, **(_NEW if new else {})}


def timed(connection: http.client.HTTPConnection, method: str, path: str, body: str, headers: dict[str, str]) -> float:
    """Send a request; return its milliseconds."""
    began = time.perf_counter()
    connection.request(method, path, body or None, {"Authorization": f"token {TOKEN}", **headers})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != http.client.OK or b'"error"' in text:
        sys.exit(f"{method} {path} answered {answer.status}: {text[:300]!r}")
    return (time.perf_counter() - began) * 1000


def measured(ask: Callable[[], float]) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds."""
    for _ in range(WARM):
        ask()
    taken = sorted(ask() for _ in range(CALLS))
    return taken[CALLS // 2], taken[CALLS * 95 // 100]


def measure(home: Path) -> list[tuple[str, float, str, float]]:
    """Return the figures with their targets."""
    port, log = tools.free_port(), home / "log"
    github = (sys.executable, "-m", "p2pcache.testing", "--port", str(port), "--token", TOKEN)
    flags = ["--hub", "--upstream", f"http://127.0.0.1:{port}", "--p2p-listen", "/ip4/127.0.0.1/tcp/0"]
    flags += ["--dir", f"{home}/d", "--ready-file", f"{home}/ready"]
    variables = {"CACHE_SECRET": secrets.token_hex(32)}
    environment = tools.clean_environment(home, **variables)
    with tools.process(*github, log=log):
        tools.listening(port)
        with tools.process(sys.executable, "-m", "p2pcache", "serve", *flags, log=log, env=environment) as hub:
            tools.ready(home / "ready", hub, log)
            state = listening(home / "ready")
            gateway = str(state["api_url"]).removeprefix("http://")
            connection = http.client.HTTPConnection(gateway, timeout=30)
            plain = measured(lambda: timed(connection, "GET", TARGET, "", {"Accept": "application/vnd.github+json"}))
            before = rss(hub.pid)
            first = timed(connection, *call(new=True))
            after = rss(hub.pid)
            new = measured(lambda: timed(connection, *call(new=True)))
            old = measured(lambda: timed(connection, *call(new=False)))
            at_the_end = rss(hub.pid)
            connection.close()
            keys = keyring_of(load({}, variables))[0].membership_keys
            [address, *_] = list(state["multiaddrs"])  # type: ignore[call-overload]
            ends = [joined(home, address, keys) for _ in range(RUNNERS // CROWD)]
            busy = tools.wrk(f"http://{gateway}{TARGET}", RUNNERS, SECONDS, {"Authorization": f"token {TOKEN}"})
            for end in ends:
                end.send(True)
    print(f"{RUNNERS} runners, {busy.rate:.0f} hits/s: p50 {busy.p50:.2f} ms, p95 {busy.p95:.2f} ms")
    for name, (p50, p95) in {"plain hit": plain, "MCP 2026-07-28": new, "MCP 2025-11-25": old}.items():
        print(f"{name:16} p50 {p50:6.2f} ms  p95 {p95:6.2f} ms")
    print(
        f"first call {first:.0f} ms; RSS {before:.1f} MB, with MCP {after:.1f} MB, after the calls {at_the_end:.1f} MB"
    )
    return [
        (f"a hit for one of {RUNNERS} runners that never pause, p95 in ms", busy.p95, "<=", HIT_MS),
        ("an MCP call over HTTP, p95 in ms", new[1], "<=", P95_MS),
    ]


def main() -> int:
    tools.needs("wrk")
    with tempfile.TemporaryDirectory() as scratch:
        return tools.verdict(measure(Path(scratch)))


if __name__ == "__main__":
    sys.exit(main())
