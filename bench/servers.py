"""Python's HTTP servers with a minimal load: a fixed 4 KB answer from one worker.

Run it alone: ``python bench/servers.py``. Servers that are not installed are skipped. ``bench/README.md`` explains the
choice of uvicorn.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import statistics
import sys
import tempfile
from pathlib import Path

import _tools as tools

ASGI = """
BODY = b"x" * 4096
HEAD = [(b"content-type", b"text/plain"), (b"content-length", b"4096")]

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})
        await send({"type": "http.response.body", "body": BODY})
"""
AIOHTTP = """
import asyncio, sys, uvloop
from aiohttp import web

async def answer(request):
    return web.Response(body=b"x" * 4096)

async def serve():
    runner = web.ServerRunner(web.Server(answer), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()

uvloop.run(serve())
"""


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=2)
    chosen = options.parse_args()
    tools.needs("wrk")
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        home = Path(scratch)
        (home / "hello.py").write_text(ASGI)
        (home / "aiohttp_hello.py").write_text(AIOHTTP)
        ports = {
            name: tools.free_port() for name in ("uvicorn", "granian", "aiohttp") if importlib.util.find_spec(name)
        }
        for name, port in ports.items():
            env = tools.clean_environment(home, PYTHONPATH=str(home))
            running.enter_context(tools.process(*_command(name, port, home), log=home / "log", env=env))
            tools.listening(port)
        found: dict[tuple[str, int], list[tools.Load]] = {}
        for _ in range(chosen.rounds):
            for name, port in ports.items():
                for connections in (1, 16):
                    load = tools.wrk(f"http://127.0.0.1:{port}/", connections, chosen.seconds, {})
                    found.setdefault((name, connections), []).append(load)
    for name in ports:
        p50 = statistics.median(load.p50 for load in found[name, 1]) * 1000
        rate = statistics.median(load.rate for load in found[name, 16])
        print(f"{name:12}{p50:9.0f} us at 1{rate:12.0f}/s at 16")
    return 0


def _command(name: str, port: int, home: Path) -> list[str]:
    python = [sys.executable]
    match name:
        case "uvicorn":
            quiet = ["--no-access-log", "--log-level", "critical", "--loop", "uvloop", "--http", "httptools"]
            return [*python, "-m", "uvicorn", "hello:app", "--port", str(port), *quiet]
        case "granian":
            quiet = ["--no-log", "--interface", "asgi", "--workers", "1", "--loop", "uvloop"]
            return [*python, "-m", "granian", "hello:app", "--port", str(port), *quiet]
        case _:
            return [*python, str(home / "aiohttp_hello.py"), str(port)]


if __name__ == "__main__":
    sys.exit(main())
