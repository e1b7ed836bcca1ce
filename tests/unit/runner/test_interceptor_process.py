"""The process in the test's own: how it serves, ends, and what it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from p2pcache.interception import certificate, counts, hosts_file
from p2pcache.interception.connect_head import ESTABLISHED
from p2pcache.interception.hosts_file import Led
from p2pcache.interception.resolver import RealAddresses
from p2pcache.runner import as_root, interceptor_process, watch
from p2pcache.runner.interceptor_process import InterceptorPlan, InterceptorProcess
from p2pcache.settings import INTERCEPTOR_KEY

HOST = "api.github.com"
USUAL = "127.0.0.1 localhost\n"
SIGNED, KEY = certificate.issue([HOST], certificate.HOSTED_LIFE)


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = folder / "hosts"
        self.hosts.write_text(USUAL)
        (folder / "own.pem").write_bytes(SIGNED)
        self.owner = hosts_file.new_owner()
        named, proxy = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.named, self.proxy = named.getsockname(), proxy.getsockname()
        hosts_file.lead([Led(HOST, "127.0.0.1", self.owner, ())], self.hosts)
        self.plan = InterceptorPlan(
            node=str(folder / "node.sock"),
            names={HOST: (named.detach(), ["127.0.0.1"]), "uploads.github.com": (0, [])},
            proxy=proxy.detach(),
            certificate=str(folder / "own.pem"),
            ours=[],
            directory=str(folder),
            owner=self.owner,
            hosts_file=str(self.hosts),
        )
        self.stopped = asyncio.Event()
        self.process = InterceptorProcess(self.plan, KEY)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.ensure_future(self.process.run(self.stopped))
        try:
            yield task
        finally:
            self.stopped.set()
            await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 30)


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(interceptor_process, "LISTENING_SECONDS", 0.05)
    monkeypatch.setattr(interceptor_process, "ENDING_SECONDS", 0.05)
    monkeypatch.setattr(interceptor_process, "KEEPING_SECONDS", 0.01)
    monkeypatch.setattr(interceptor_process, "RealAddresses", Nowhere)
    monkeypatch.setenv("NO_PROXY", "*")
    return Lab(tmp_path)


async def until(holds: Callable[[], object]) -> None:
    for _ in range(6000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited too long")


class Nowhere(RealAddresses):
    async def __call__(self) -> list[str]:
        return []


async def test_it_is_ready_counts_what_passes_and_takes_the_names_out_first(lab: Lab) -> None:
    async with lab.running() as task:
        await until((lab.folder / "ready.json").exists)
        assert json.loads((lab.folder / "ready.json").read_text()) == {"pid": os.getpid()}
        reader, writer = await asyncio.open_connection(*lab.named)
        writer.write(b"no TLS at all")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 30) == b"", "its real address is not to be reached"
        writer.close()
        await until(lambda: counts.read(lab.folder / "counts.json").passed_by)
        lab.stopped.set()
        await asyncio.wait_for(task, 30)
    assert lab.hosts.read_text() == USUAL
    kept = counts.read(lab.folder / "counts.json")
    assert (kept.over, kept.passed_by) == (True, {"unknown": {"this is no TLS": 1}})


async def test_its_proxy_serves_this_user(lab: Lab) -> None:
    async with lab.running():
        with socket.create_server(("127.0.0.1", 0)) as target:
            reader, writer = await asyncio.open_connection(*lab.proxy)
            writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % target.getsockname()[1])
            assert await asyncio.wait_for(reader.readexactly(len(ESTABLISHED)), 30) == ESTABLISHED
            writer.close()


async def test_a_tunnel_in_which_something_moves_is_waited_for_only_so_long(lab: Lab) -> None:
    async with lab.running() as task:
        with socket.create_server(("127.0.0.1", 0)) as target:
            reader, writer = await asyncio.open_connection(*lab.proxy)
            writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\nmoves" % target.getsockname()[1])
            await asyncio.wait_for(reader.readexactly(len(ESTABLISHED)), 30)
            lab.stopped.set()
            await asyncio.wait_for(task, 30)
            assert await asyncio.wait_for(reader.read(), 30) == b""
            writer.close()


async def test_a_listener_that_nobody_serves_ends_it_with_an_error(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def accept(listener: socket.socket, *_: object) -> None:
        listener.close()
        if listener.fileno() == -1:
            raise ValueError("a mistake")

    monkeypatch.setattr(interceptor_process, "accept", accept)
    with pytest.raises(ValueError, match="a mistake"):
        await asyncio.wait_for(lab.process.run(lab.stopped), 30)


async def test_once_it_is_over_a_new_process_answers_nobody_either(lab: Lab) -> None:
    lab.process.pass_all()
    assert counts.read(lab.folder / "counts.json").over
    plan = msgspec.structs.replace(lab.plan, names={}, proxy=0)
    again = InterceptorProcess(plan, KEY)
    assert again._interceptor.passing
    async with lab.running():
        pass


async def test_a_hosts_file_that_cannot_be_written_is_logged(
    lab: Lab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(as_root, "withdraw", refuse)
    async with lab.running():
        pass
    assert "Read-only file system" in caplog.text


PLAN = msgspec.json.encode(
    InterceptorPlan(node="/n", names={}, proxy=0, certificate="/gone.pem", ours=[], directory="/gone")
)


@pytest.mark.parametrize(
    ("plan", "secrets"),
    [("{", {INTERCEPTOR_KEY: "x"}), (PLAN.decode(), {}), (PLAN.decode(), {INTERCEPTOR_KEY: "x"})],
    ids=["no plan", "no key", "no certificate"],
)
def test_what_cannot_be_used_is_its_status(
    plan: str, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(INTERCEPTOR_KEY, raising=False)
    monkeypatch.setattr(interceptor_process, "_end_with_parent", lambda: None)
    monkeypatch.setattr(watch, "received", lambda _: secrets)
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    assert interceptor_process.main([plan, "--secrets-fd", "0"]) == watch.USAGE_ERROR
    assert "the interceptor cannot be started" in capsys.readouterr().err
