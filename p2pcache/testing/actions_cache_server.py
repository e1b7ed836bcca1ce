"""``python -m p2pcache.testing.actions_cache_server``: the stand-in of the Actions cache service over HTTP."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import click
import msgspec
from aiohttp import web

from p2pcache.testing.actions_cache import ActionsCache, CacheRefusalError, StoredEntry, rights_of
from p2pcache.testing.faults import Fault, Faults
from p2pcache.testing.program import serve
from p2pcache.testing.server import cut_short

SERVICE = "/twirp/github.actions.results.api.v1.CacheService"
MAX_BODY = 64 << 20
UPLOAD_SECONDS, DOWNLOAD_SECONDS = 3600.0, 600.0
"""How long a signed URL is good."""


class ActionsCacheServer:
    """Serves an `ActionsCache`; the faults are those of the stand-in GitHub.

    Args:
        cache: what is served.
        latency: seconds before every answer.
        port: 0 is any free one.

    Attributes:
        url: for `ACTIONS_RESULTS_URL`, while it is open.
        expired: whether signed URLs are refused.
    """

    def __init__(self, cache: ActionsCache | None = None, *, latency: float = 0.0, port: int = 0) -> None:
        self.cache = cache or ActionsCache()
        self.latency = latency
        self.url = ""
        self.expired = False
        self.faults = Faults()
        self._port = port
        self._signature = secrets.token_hex(8)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post(f"{SERVICE}/{{method}}", self._handler(self._call))
        app.router.add_put("/blob/{number}", self._handler(self._put))
        app.router.add_get("/blob/{number}", self._handler(self._get))  # and HEAD
        app.router.add_get("/_stand-in/calls", self._calls)
        app.router.add_post("/_stand-in/fault", self._fault)
        app.router.add_post("/_stand-in/evict", self._evict)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _handler(self, handle: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.StreamResponse:
            fault = self.faults.take(request.method, request.raw_path) or Fault()
            if pause := self.latency + fault.delay:
                await asyncio.sleep(pause)
            if fault.stall:
                await asyncio.sleep(UPLOAD_SECONDS)
            if fault.status is not None:
                return web.Response(status=fault.status, headers=fault.headers, text=fault.body or "")
            response: web.Response = await handle(request)
            return response if fault.cut_after is None else await cut_short(request, response, fault.cut_after)

        return answer

    async def _call(self, request: web.Request) -> web.Response:
        try:
            rights = rights_of(request.headers.get("Authorization", ""))
            answer, entry = self.cache.call(request.match_info["method"], rights, await request.json())
        except CacheRefusalError as refusal:
            after = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {}
            return _json({"code": refusal.code, "msg": str(refusal)}, refusal.status, after)
        except ValueError:
            return _json({"code": "malformed", "msg": "the json request could not be decoded"}, 400)
        if entry is not None:
            name, seconds = "signed_upload_url", UPLOAD_SECONDS
            if "matched_key" in answer:
                name, seconds = "signed_download_url", DOWNLOAD_SECONDS
            answer[name] = self._signed(entry, "r" if "matched_key" in answer else "cw", seconds)
        return _json(answer)

    def _signed(self, entry: StoredEntry, permission: str, seconds: float) -> str:
        until = int(time.time() + seconds)
        return f"{self.url}blob/{entry.number}?sp={permission}&se={until}&sig={self._signature}{permission}"

    def _entry(self, request: web.Request, permission: str) -> StoredEntry:
        good = request.query.get("sig") == self._signature + permission and int(request.query["se"]) > time.time()
        if not good or self.expired:
            raise web.HTTPForbidden(text="AuthenticationFailed")
        entry = self.cache.entry(int(request.match_info["number"]))
        if entry is None:
            raise web.HTTPNotFound(text="BlobNotFound")
        return entry

    async def _put(self, request: web.Request) -> web.Response:
        entry = self._entry(request, "cw")
        if "comp" not in request.query and request.headers.get("x-ms-blob-type") != "BlockBlob":
            return web.Response(status=400, text="MissingRequiredHeader: x-ms-blob-type")
        self.cache.upload(entry, await request.read(), request.query)
        return web.Response(status=201, headers={"x-ms-request-id": str(entry.number)})

    async def _get(self, request: web.Request) -> web.Response:
        data = self._entry(request, "r").data or b""
        kind = {"Content-Type": "application/octet-stream", "ETag": '"0x1"', "Accept-Ranges": "bytes"}
        wanted = request.http_range
        if wanted.start is None and wanted.stop is None:
            return web.Response(body=data, headers=kind)
        first = wanted.start or 0
        if not (part := data[wanted]):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        place = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        return web.Response(status=206, body=part, headers={**kind, "Content-Range": place})

    async def _calls(self, _request: web.Request) -> web.Response:
        methods = sorted({method for _, method in self.cache.calls})
        counted = {method: self.cache.count(method) for method in methods}
        busiest = {method: self.cache.busiest_minute(method) for method in methods}
        saved = [len(entry.data or b"") for entry in self.cache.saved()]
        return _json({"calls": counted, "busiest_minute": busiest, "saved": saved})

    async def _fault(self, request: web.Request) -> web.Response:
        self.faults.add(msgspec.json.decode(await request.read(), type=Fault))
        return _json({"ok": True})

    async def _evict(self, _request: web.Request) -> web.Response:
        self.cache.evict()
        return _json({"ok": True})


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=json.dumps(value).encode(), status=status, content_type="application/json", headers=headers
    )


@click.command()
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 is any free one.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once it answers: {url, pid}.")
@click.option("--latency", default=0.0, type=click.FloatRange(0, 60), help="Seconds that every answer takes.")
@click.option("--lag", default=0.0, type=click.FloatRange(0, 600), help="Mean seconds until an entry is found.")
@click.option("--creations", default=200, show_default=True, help="A minute, of one repository; 0: no limit.")
@click.option("--look-ups", default=0, show_default=True, help="A minute, of one repository; 0: no limit.")
def main(port: int, ready_file: Path | None, latency: float, lag: float, creations: int, look_ups: int) -> None:
    """Serve an Actions cache until interrupted. Control: /_stand-in/calls, fault, evict."""
    cache = ActionsCache(lag=lag, creations=creations, look_ups=look_ups)
    try:
        asyncio.run(serve(ActionsCacheServer(cache, latency=latency, port=port), ready_file))
    except OSError as problem:
        raise click.ClickException(str(problem)) from None


if __name__ == "__main__":
    main()
