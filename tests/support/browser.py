"""Headless Chromium, driven over the DevTools protocol with aiohttp alone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = "chromium-headless-shell"
SECONDS = 15.0
POLL_SECONDS = 0.05
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.events: list[dict[str, Any]] = []

    async def read(self) -> None:
        async for message in self._socket:
            found = json.loads(message.data)
            if "id" in found:
                self._answers.pop(found["id"]).set_result(found)
            else:
                self.events.append(found)

    async def __call__(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(SECONDS):
            found = await answer
        assert "error" not in found, f"{method}: {found}"
        return found["result"]

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = await self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, script: str, seconds: float = SECONDS) -> Any:
        """Wait for an expression to be true; its value."""
        async with asyncio.timeout(seconds):
            while not (value := await self.run(script)):  # noqa: ASYNC110 - the state of another process
                await asyncio.sleep(POLL_SECONDS)
        return value

    async def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        await self("Page.navigate", url=url)
        await self.until(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    async def look(self, width: int, height: int, theme: str = "light", scale: float = 1, **features: str) -> None:
        """Set the size of the window, the theme, and other media features."""
        await self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        media = {"prefers-color-scheme": theme, **{name.replace("_", "-"): value for name, value in features.items()}}
        await self("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in media.items()])

    async def screenshot(self, path: Path, *, whole: bool = False) -> None:
        found = await self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        _write(path, base64.b64decode(found["data"]))

    def requests(self) -> list[str]:
        """The URLs that were asked for."""
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[Any]:
        """What stands in the console, and what was thrown."""
        return [event["params"] for event in self.events if event["method"] in COMPLAINTS]


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Callable[[], Any]]:
    """Start the browser; what it gives makes a `Tab`. It resolves no name and reaches the loopback alone."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}"),
        *("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # the program is a script, which a signal would end without the browser
    )
    try:
        port = await _port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield lambda: _tab(session)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _lines(file: Path) -> list[str]:
    """The lines that are whole; none while there is no file."""
    return file.read_text().split("\n")[:-1] if file.exists() else []


async def _port(file: Path, process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(SECONDS):
        while not (lines := _lines(file)):
            assert process.returncode is None, "the browser ended"
            await asyncio.sleep(POLL_SECONDS)
    return lines[0]


@asynccontextmanager
async def _tab(session: aiohttp.ClientSession) -> AsyncIterator[Tab]:
    async with session.put("/json/new?about:blank") as answer:
        target = await answer.json()
    async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        tab = Tab(socket)
        reading = asyncio.create_task(tab.read())
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            await tab(f"{domain}.enable")
        try:
            yield tab
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
