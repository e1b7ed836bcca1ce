"""The Docker engine's API, against a socket that answers as the engine does."""

from __future__ import annotations

import http.server
import json
import queue
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pcache.runner.docker import DockerEngine, EngineError


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.input: queue.Queue[bytes] = queue.Queue()
        super().__init__(str(path), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        if self.path.endswith("attach?stream=1&stdin=1") and self.headers["Upgrade"] == "tcp":
            self.attach()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((f"{self.command} {self.path}", body))
        status, text = self.server.answers.get(
            f"{self.command} {self.path}", (404, b'{"message": "No such container: x"}')
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def attach(self) -> None:
        if "abc" not in self.path:
            self.wfile.write(b'HTTP/1.1 404 Not Found\r\nContent-Length: 28\r\n\r\n{"message": "No such input"}')
            return
        self.wfile.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        self.server.input.put(self.rfile.read())

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "d.sock") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def engine(server: Server, tmp_path: Path) -> DockerEngine:
    return DockerEngine(tmp_path / "d.sock", 5)


def test_a_container_from_creation_to_removal(engine: DockerEngine, server: Server) -> None:
    server.answers = {
        "POST /v1.41/containers/create?name=n": (201, b'{"Id": "abc", "Warnings": []}'),
        "POST /v1.41/containers/abc/start": (204, b""),
        "GET /v1.41/containers/abc/json": (200, b'{"State": {"Running": true}}'),
        "POST /v1.41/containers/abc/stop?t=3": (304, b""),
        "DELETE /v1.41/containers/abc?force=true&v=true": (204, b""),
    }
    assert engine.create("n", {"Image": "i"}) == "abc"
    engine.start("abc", b"a secret")
    assert server.input.get(timeout=5) == b"a secret", "and its end"
    assert engine.inspect("abc")["State"]["Running"]
    engine.stop("abc", 3)
    engine.remove("abc")
    assert json.loads(server.asked[0][1]) == {"Image": "i"}
    assert [asked for asked, _ in server.asked] == list(server.answers)


def test_a_name_cannot_lead_elsewhere(engine: DockerEngine, server: Server) -> None:
    with pytest.raises(EngineError):
        engine.inspect("../../images/json?x=")
    assert server.asked[0][0] == "GET /v1.41/containers/..%2F..%2Fimages%2Fjson%3Fx%3D/json"


def test_the_engines_own_words(engine: DockerEngine) -> None:
    with pytest.raises(EngineError, match="the Docker engine says: No such container: x"):
        engine.inspect("x")
    with pytest.raises(EngineError, match="the Docker engine says: No such input"):
        engine.start("x", b"")


@pytest.mark.parametrize("text", [b"[]", b"nonsense"])
def test_an_answer_that_is_none(engine: DockerEngine, server: Server, text: bytes) -> None:
    server.answers = {"GET /v1.41/containers/x/json": (200, text)}
    with pytest.raises(EngineError, match="not an object"):
        engine.inspect("x")


def test_no_engine(tmp_path: Path) -> None:
    engine = DockerEngine(tmp_path / "nothing.sock", 1)
    with pytest.raises(EngineError, match="cannot be asked"):
        engine.inspect("x")
    with pytest.raises(EngineError, match="cannot be asked"):
        engine.start("x", b"")
    assert engine.last_line("x") == ""


def test_last_words_are_safe_to_print(engine: DockerEngine, server: Server) -> None:
    target = "GET /v1.41/containers/x/logs?stdout=1&stderr=1&tail=1"
    server.answers = {target: (200, b"\2\0\0\0\0\0\0\x0aoops \x1b[31m\n")}
    assert engine.last_line("x") == "oops ?[31m"
