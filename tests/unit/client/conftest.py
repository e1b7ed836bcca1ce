"""A node to talk to: a unix socket, answers as told, and what was asked of it."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

STATS = {"requests": 3, "peers": {"connected": 0, "known": 0, "bytes_in": 0, "bytes_out": 0}}


@dataclass
class FakeNode:
    """`answers` by path: a JSON value, or (status, headers, body bytes); a body of None hangs up halfway."""

    path: Path
    answers: dict[str, Any] = field(default_factory=lambda: {"/-/healthz": {"status": "ok"}, "/-/stats": STATS})
    asked: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0

    def api(self) -> list[tuple[str, str, str, dict[str, str]]]:
        return [request for request in self.asked if not request[1].startswith("/-/")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.node.connections += 1

    def respond(self) -> None:
        node = self.server.node
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        node.asked.append((self.command, self.path, self.headers["Host"], dict(self.headers)))
        answer = node.answers.get(self.path, (404, {}, b'{"message": "Not Found"}'))
        status, headers, body = answer if isinstance(answer, tuple) else (200, {}, json.dumps(answer).encode())
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(99 if body is None else len(body)))
        self.end_headers()
        self.wfile.write(b"half" if body is None else body)
        self.close_connection = body is None or self.headers.get("Connection") == "close"

    do_GET = do_POST = do_PATCH = respond  # noqa: N815 - the names http.server looks for

    def log_message(self, *args: str) -> None:
        pass


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    node: FakeNode


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """A running node that the environment names."""
    fake = FakeNode(tmp_path / "node.sock")
    with _Server(str(fake.path), _Handler) as server:
        server.node = fake
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        monkeypatch.setenv("P2PCACHE_SOCKET", str(fake.path))
        yield fake
        server.shutdown()
        serving.join()


@pytest.fixture
def no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The socket of a node that is gone."""
    monkeypatch.setenv("P2PCACHE_SOCKET", str(tmp_path / "gone.sock"))
    return tmp_path / "gone.sock"
