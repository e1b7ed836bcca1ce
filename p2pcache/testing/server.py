"""The HTTP server around `judge`, with faults, pretty-printing and content coding."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections import deque
from collections.abc import Callable

from aiohttp import web

from p2pcache.testing.faults import Call, Fault, Faults
from p2pcache.testing.judge import Question, State, Verdict, identity_of, judge, utc
from p2pcache.testing.routing import JSON_TYPE

MAX_CALLS = 100_000
MAX_BODY = 64 * 1024 * 1024
_PRETTY = re.compile(r"curl|Wget|Safari|Firefox")


class Front:
    """The server's handler.

    Attributes:
        calls: the recorded requests, newest last, at most `MAX_CALLS`.
        latency: seconds before every answer.
    """

    def __init__(self, state: State, clock: Callable[[], float], latency: float) -> None:
        self.calls: deque[Call] = deque(maxlen=MAX_CALLS)
        self.faults = Faults()
        self.latency = latency
        self.closing = asyncio.Event()
        self._state = state
        self._clock = clock
        self._asked = 0

    def ask(self, question: Question) -> Verdict:
        """Judge and record a request without a socket, for models and simulations."""
        verdict = judge(self._state, question)
        self._record(question, verdict)
        return verdict

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handle a request to GitHub (the control has handlers of its own)."""
        question = Question(
            method=request.method,
            target=request.raw_path,
            host=request.host.partition(":")[0],
            headers=tuple((name.lower(), value) for name, value in request.headers.items()),
            body=await request.read(),
            address=request.remote or "",
        )
        identity = identity_of(self._state, question)
        self._state.in_flight[identity] += 1
        try:
            return await self._answer(request, question)
        finally:
            self._state.in_flight[identity] -= 1

    async def _answer(self, request: web.Request, question: Question) -> web.StreamResponse:
        fault = self.faults.take(question.method, question.target) or Fault()
        if pause := self.latency + fault.delay:
            await asyncio.sleep(pause)
        if fault.stall or fault.garbage:
            self._record(question, Verdict(0, {}, b""))
            return await self._withhold(request, garbage=fault.garbage)
        if fault.status is None:
            verdict = self.ask(question)
        else:
            verdict = _faulty(fault)
            self._record(question, verdict)
        response = self._response(question, verdict)
        return response if fault.cut_after is None else await cut_short(request, response, fault.cut_after)

    async def _withhold(self, request: web.Request, *, garbage: bool) -> web.StreamResponse:
        if not garbage:
            await self.closing.wait()
        transport = request.transport
        if transport is not None:  # it is None once the client has gone
            transport.write(b"\x00\xff not HTTP at all\r\n\r\n" if garbage else b"")
            transport.close()
        return web.Response()  # never sent: the connection is closed

    def _record(self, question: Question, verdict: Verdict) -> None:
        names = dict.fromkeys(name for name, _ in question.headers)
        headers = {name: question.header(name) or "" for name in names}
        self.calls.append(
            Call(
                method=question.method,
                target=question.target,
                host=question.host,
                token=question.credential,
                status=verdict.status,
                charged=verdict.charged,
                conditional=bool(names.keys() & {"if-none-match", "if-modified-since"}),
                user_agent=headers.get("user-agent", ""),
                headers=headers,
            )
        )

    def _response(self, question: Question, verdict: Verdict) -> web.Response:
        self._asked += 1
        headers = {
            "server": "github.com",
            "date": utc(self._clock()),
            "x-github-request-id": f"5A1D:{self._asked:06X}",
            "access-control-expose-headers": "ETag, Link, Location, Retry-After, X-RateLimit-Remaining",
            "access-control-allow-origin": "*",
            "x-content-type-options": "nosniff",
            **verdict.headers,
        }
        body = verdict.body
        if _PRETTY.search(question.header("user-agent") or "") and "json" in headers.get("content-type", ""):
            body = json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode() + b"\n"
        zipped = _accepts_gzip(question.header("accept-encoding")) and "gzip" not in headers.get("content-type", "")
        if zipped and body:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["content-encoding"] = "gzip"
        if verdict.tag:
            headers["etag"] = f'{"W/" if zipped else ""}"{verdict.tag}"'
        return web.Response(status=verdict.status, headers=headers, body=body)


def _faulty(fault: Fault) -> Verdict:
    body = fault.body if fault.body is not None else '{"message":"Server Error"}'
    headers = {"content-type": JSON_TYPE, **fault.headers}
    return Verdict(fault.status or 500, headers, body.encode())


def _accepts_gzip(accept_encoding: str | None) -> bool:
    codings = [part.replace(" ", "") for part in (accept_encoding or "").split(",")]
    return any(part.partition(";")[0] in {"gzip", "*"} and not part.endswith(";q=0") for part in codings)


async def cut_short(request: web.Request, response: web.Response, after: int) -> web.StreamResponse:
    """Send the head with the full length and `after` bytes of the body, then close the connection."""
    whole = response.body if isinstance(response.body, bytes) else b""
    partial = web.StreamResponse(status=response.status, headers=response.headers)
    partial.content_length = len(whole)
    await partial.prepare(request)
    await partial.write(whole[:after])
    if request.transport is not None:
        request.transport.close()
    return partial
