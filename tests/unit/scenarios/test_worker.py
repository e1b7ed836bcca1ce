"""Orders beside a node, against a server that answers as a node or GitHub would."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.scenarios import worker
from p2pcache.scenarios.worker import OrderError, carry_out

MISSING = {"message": "Not Found"}


class Hurrying:
    """A clock by which `seconds` pass between two looks at it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += self._seconds
        return self._now

    perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        pass


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers by path; a list is what comes one after another, the last one for good."""

    protocol_version = "HTTP/1.1"
    answers: dict[str, Any]
    asked: list[tuple[str, dict[str, str], bytes]]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.path, dict(self.headers.items()), body))
        answer = self.answers.get(self.path, MISSING)
        if isinstance(answer, list) and answer and isinstance(answer[0], list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        data = json.dumps(answer).encode()
        self.send_response(404 if answer is MISSING else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer  # noqa: N815 - the library calls them so

    def address_string(self) -> str:
        return "a unix socket"

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def answers() -> dict[str, Any]:
    return {}


@pytest.fixture
def asked() -> list[tuple[str, dict[str, str], bytes]]:
    return []


@pytest.fixture(params=["socket", "url"])
def at(request: pytest.FixtureRequest, tmp_path: Path, answers: dict[str, Any], asked: list[Any]) -> Iterator[str]:
    """Where the server answers: on a unix socket as a node does, or at a URL as GitHub does."""
    handler = type("Handler", (Answering,), {"answers": answers, "asked": asked})
    server: socketserver.BaseServer
    if request.param == "socket":
        where = str(tmp_path / "s")
        server = unix = socketserver.ThreadingUnixStreamServer(where, handler)
        unix.daemon_threads = True
    else:
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server, where = web, f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield where
    server.shutdown()
    thread.join()
    server.server_close()


socket_only = pytest.mark.parametrize("at", ["socket"], indirect=True)


def test_work_reads_one_after_another_as_a_job_does(at: str, answers: dict[str, Any], asked: list[Any]) -> None:
    answers.update({"/one": 1, "/two": 2})
    found = carry_out({"do": "work", "at": at, "token": "ghs_x", "targets": ["/one", "/two", "/one"], "seconds": 20})
    assert [(each["target"], each["status"]) for each in found] == [("/one", 200), ("/two", 200), ("/one", 200)]
    assert [each["digest"] for each in found] == [hashlib.sha256(body).hexdigest() for body in (b"1", b"2", b"1")]
    assert all(each["ms"] > 0 for each in found)
    assert [path for path, _, _ in asked] == ["/one", "/two", "/one"]
    headers = asked[0][1]
    assert (headers["Host"], headers["Authorization"]) == ("api.github.com", "Bearer ghs_x")


@socket_only
def test_work_has_an_end(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "time", Hurrying(20.0))
    with pytest.raises(OrderError, match=r"^1 of 2 requests within 10 s$"):
        carry_out({"do": "work", "at": at, "token": "x", "targets": ["/", "/"], "seconds": 10})


def test_ask_returns_json(at: str, answers: dict[str, Any], asked: list[Any]) -> None:
    answers["/-/stats"] = {"requests": 3}
    assert carry_out({"do": "ask", "at": at, "target": "/-/stats"}) == {"requests": 3}
    carry_out({"do": "ask", "at": at, "target": "/-/stats", "body": {"token": "x"}})
    assert json.loads(asked[1][2]) == {"token": "x"}


def test_what_is_refused_is_named(at: str) -> None:
    with pytest.raises(OrderError, match="/nowhere answered 404"):
        carry_out({"do": "ask", "at": at, "target": "/nowhere"})


def test_where_nobody_listens_the_order_fails(tmp_path: Path) -> None:
    with pytest.raises(OrderError, match="FileNotFoundError"):
        carry_out({"do": "ask", "at": str(tmp_path / "s"), "target": "/"})


UNREACHED = {"state": "unreached", "reason": "nobody listens there"}
MEMBER = {"state": "member", "reason": ""}


@socket_only
def test_peers_are_waited_for(at: str, answers: dict[str, Any]) -> None:
    answers["/-/peers"] = [[], [UNREACHED], [MEMBER, UNREACHED]]
    found = carry_out({"do": "peers", "socket": at, "seconds": 20})
    assert found == {"connected": 1, "reasons": ["nobody listens there"]}


@socket_only
def test_a_node_without_peers_has_reasons(at: str, answers: dict[str, Any]) -> None:
    answers["/-/peers"] = [[UNREACHED]]
    assert carry_out({"do": "peers", "socket": at, "seconds": 0}) == {
        "connected": 0,
        "reasons": ["nobody listens there"],
    }


@socket_only
def test_a_stores_calls_are_waited_for(at: str, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "time", Hurrying(1.0))
    answers["/-/stats"] = {"stores": [{"name": "s3", "calls": 9}, {"name": "actions", "calls": 2}]}
    found = carry_out({"do": "store_settled", "socket": at, "store": "actions", "calls": 2, "seconds": 100})
    assert (found["name"], found["calls"]) == ("actions", 2)
    answers["/-/stats"] = {"stores": [{"name": "actions", "calls": 1}]}
    found = carry_out({"do": "store_settled", "socket": at, "store": "actions", "calls": 2, "seconds": 10})
    assert found["calls"] == 1


def test_a_ready_file_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    file.write_text('{"p2p": "starting", "p2p_port": 0}')
    assert carry_out({"do": "ready", "file": str(file), "seconds": 0})["p2p"] == "starting"
    with pytest.raises(OrderError, match="not ready within 0 s"):
        carry_out({"do": "ready", "file": str(file), "seconds": 0, "p2p": True})
    file.write_text('{"p2p": "ready"}')
    assert carry_out({"do": "ready", "file": str(file), "seconds": 0, "p2p": True}) == {"p2p": "ready"}


@pytest.mark.parametrize("content", [None, "", '{"p2'])
def test_a_file_that_is_not_whole_is_not_ready(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ready.json").write_text(content)
    with pytest.raises(OrderError, match="not ready"):
        carry_out({"do": "ready", "file": str(tmp_path / "ready.json"), "seconds": 0})


def test_a_node_that_cannot_join_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text('{"p2p": "failed: the address is taken"}')
    with pytest.raises(OrderError, match="P2P failed: the address is taken"):
        carry_out({"do": "ready", "file": str(tmp_path / "ready.json"), "seconds": 50, "p2p": True})


@pytest.mark.parametrize(("p2p", "expected"), [(False, {"result": {"p2p": "off"}}), (True, {"error": "not ready"})])
def test_it_answers_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], p2p: bool, expected: Any
) -> None:
    (tmp_path / "ready.json").write_text('{"p2p": "off"}')
    order = {"do": "ready", "file": str(tmp_path / "ready.json"), "seconds": 0, "p2p": p2p}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(order)))
    assert worker.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == expected.keys()
    assert found.get("result") == expected.get("result")
