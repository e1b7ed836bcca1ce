"""What `p2pcache doctor` examines, for the tests of its checks."""

import contextlib
import inspect
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from p2pcache import __version__, settings
from p2pcache.cache.sealing import generate_secret
from p2pcache.doctor.finding import CheckFinding, Patient

SECRET = generate_secret()


def patient(directory: Path, flags: Any = None, node: Any = None, **variables: str) -> Patient:
    """A node's settings in `directory`, from these flags (a mapping) and variables; and the socket of one that runs."""
    environ = {"CACHE_DIR": str(directory), "HOME": str(directory), **variables}
    return Patient(environ, flags or {}, settings.load(flags, environ), node=node)


async def findings(examine: Any, patient: Patient) -> list[CheckFinding]:
    """What a check finds."""
    found = examine(patient)
    return list(await found if inspect.isawaitable(found) else found)


def files(directory: Path) -> list[str]:
    """The names of what is in a directory."""
    return sorted(path.name for path in directory.iterdir())


@dataclass
class FakeNode:
    """A node's socket with canned answers: a body, or a status; what was sent to it."""

    path: Path
    answers: dict[str, Any]
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


HEALTHY: dict[str, Any] = {
    "/-/healthz": {"status": "ok"},
    "/-/stats": {
        "node": {"version": __version__, "upstream": "https://api.github.com", "uptime_seconds": 120.0, "degraded": []}
    },
}


@contextlib.contextmanager
def fake_node(path: Path, **answers: Any) -> Iterator[FakeNode]:
    """Answer at the unix socket `path`; `answers` by the last part of the endpoint's path."""
    node = FakeNode(path, {**HEALTHY, **{f"/-/{name}": answer for name, answer in answers.items()}})

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            node.received.append((self.path, dict(self.headers.items()), self.rfile.read(length)))
            answer = node.answers.get(self.path, 404)
            body = b"" if isinstance(answer, int) else json.dumps(answer).encode()
            self.send_response(answer if isinstance(answer, int) else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - as the base class finds them

        def address_string(self) -> str:
            return "local"

        def log_message(self, *_: Any) -> None:
            return

    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
