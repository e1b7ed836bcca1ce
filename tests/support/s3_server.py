"""A real S3 server, versitygw, and a proxy before it that breaks what a test wants broken."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.support.programs import program

ACCESS, SECRET = "tester", "tester-secret"
START_SECONDS = 30.0
_HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class S3Server:
    """A running server; a bucket is a folder of it."""

    url: str
    folder: Path

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"b-{secrets.token_hex(8)}"
        (self.folder / name).mkdir()
        return name

    def objects(self, bucket: str) -> dict[str, Path]:
        """What is in a bucket, by key."""
        files = (path for path in (self.folder / bucket).rglob("*") if path.is_file())
        return {path.relative_to(self.folder / bucket).as_posix(): path for path in files}

    def variables(self, bucket: str, url: str = "") -> dict[str, str]:
        """What a node is told to use it."""
        return {
            "CACHE_S3_BUCKET": bucket,
            "CACHE_S3_ENDPOINT": url or self.url,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }


@contextlib.contextmanager
def s3_server(home: Path) -> Iterator[S3Server]:
    """Run a server over a new folder."""
    folder = home / "buckets"
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = ["--access", ACCESS, "--secret", SECRET]
    own = ["--port", f"127.0.0.1:{port}", "--keep-alive", "--quiet", "--health", "/health"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program("versitygw"), *own, *keys, "posix", folder], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{url}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"versitygw did not start:\n{(home / 'log').read_text()}")
            time.sleep(0.02)
        yield S3Server(url, folder)
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


@dataclass
class FaultProxy:
    """Passes requests on to `url`; a `fault` decides what becomes of each answer.

    Attributes:
        fault: takes the request and its answer, and gives what is sent instead.
        asked: the number of requests by method.
    """

    url: str
    fault: Fault = field(default_factory=lambda: passing)
    asked: Counter[str] = field(default_factory=Counter)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        await self.serve()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def serve(self, port: int = 0) -> None:
        """Listen; after `away`, at the port that it gave."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def away(self) -> int:
        """End all connections and listen no more; the port that it was."""
        port = self.port
        await self._runner.cleanup()
        return port

    @property
    def port(self) -> int:
        port: int = self._runner.addresses[0][1]
        return port

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.method] += 1
        body = await request.read()
        target = URL(self.url + request.raw_path, encoded=True)
        kept = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self._session.request(request.method, target, headers=kept, data=body) as answer:
            response = Answer(answer.status, await answer.read())
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        sent = await self.fault(request, response)
        headers["Content-Length"] = str(sent.announced if sent.announced is not None else len(sent.body))
        stream = web.StreamResponse(status=sent.status, headers=headers)
        if request.method == "HEAD" or sent.announced is None:
            return web.Response(status=sent.status, headers=headers, body=sent.body)
        await stream.prepare(request)
        await stream.write(sent.body)
        assert request.transport is not None
        request.transport.close()
        return stream


@dataclass(frozen=True)
class Answer:
    """What is sent: with `announced`, that is the length in its head, and the connection ends after the body."""

    status: int
    body: bytes
    announced: int | None = None


Fault = Callable[[web.Request, Answer], Awaitable[Answer]]


async def passing(request: web.Request, answer: Answer) -> Answer:
    return answer


async def hanging(request: web.Request, answer: Answer) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def cut(request: web.Request, answer: Answer) -> Answer:
    return Answer(answer.status, answer.body[: len(answer.body) // 2], len(answer.body))


async def flipped(request: web.Request, answer: Answer) -> Answer:
    """One bit in the middle of an object."""
    if request.method != "GET" or "list-type" in request.query:
        return answer
    middle = len(answer.body) // 2
    return Answer(answer.status, answer.body[:middle] + bytes([answer.body[middle] ^ 1]) + answer.body[middle + 1 :])


def slow(seconds: float) -> Fault:
    async def wait(request: web.Request, answer: Answer) -> Answer:
        await asyncio.sleep(seconds)
        return answer

    return wait


def refusing(status: int, code: str, *methods: str) -> Fault:
    """S3's error `code` for requests of these methods, or for all."""

    async def refuse(request: web.Request, answer: Answer) -> Answer:
        if methods and request.method not in methods:
            return answer
        return Answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    return refuse
