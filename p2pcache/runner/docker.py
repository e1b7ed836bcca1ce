"""The few calls that p2pcache makes to a Docker engine, over its socket (Engine API 1.41)."""

from __future__ import annotations

import http
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from p2pcache.gateway.ask import UnixConnection

SOCKET = Path("/var/run/docker.sock")
API = "/v1.41"
MOST_BYTES = 4 << 20


class EngineError(RuntimeError):
    """The engine is not reachable or refused a call; the message quotes it."""


class DockerEngine:
    """A Docker engine behind a unix socket; every call raises `EngineError`."""

    def __init__(self, path: Path = SOCKET, timeout: float = 20.0) -> None:
        self._path = path
        self._timeout = timeout

    def inspect(self, container: str) -> dict[str, Any]:
        """Return the engine's description of a container."""
        return self._call("GET", f"/containers/{quote(container, safe='')}/json")

    def create(self, name: str, settings: dict[str, Any]) -> str:
        """Create a container and return its id."""
        return str(self._call("POST", f"/containers/create?name={quote(name, safe='')}", settings)["Id"])

    def start(self, container: str, given: bytes) -> None:
        """Start a container with `given` as its complete standard input, which the engine does not store.

        The container must be created with ``OpenStdin`` and ``StdinOnce``.
        """
        with self._stdin(container) as stdin:
            self._call("POST", f"/containers/{container}/start")
            try:
                stdin.sendall(given)
                stdin.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise EngineError(f"the container's input is closed: {error.strerror}") from None

    @contextmanager
    def _stdin(self, container: str) -> Iterator[socket.socket]:
        """Open a connection that the engine turns into the container's standard input ("Attach to a container")."""
        with closing(UnixConnection(str(self._path), self._timeout)) as connection:
            upgrade = {"Connection": "Upgrade", "Upgrade": "tcp"}
            try:
                connection.request("POST", f"{API}/containers/{container}/attach?stream=1&stdin=1", headers=upgrade)
                response = connection.getresponse()
                if response.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
                    message = _object(response.read(MOST_BYTES)).get("message", response.status)
                    raise EngineError(f"the Docker engine says: {message}")
            except (OSError, http.client.HTTPException) as error:
                raise EngineError(f"the Docker engine at {self._path} cannot be asked: {error}") from None
            yield connection.sock

    def stop(self, container: str, seconds: int) -> None:
        """Stop a container; the engine kills it after `seconds`."""
        self._call("POST", f"/containers/{container}/stop?t={seconds}")

    def remove(self, container: str) -> None:
        """Remove a container, running or not."""
        self._call("DELETE", f"/containers/{container}?force=true&v=true")

    def last_line(self, container: str) -> str:
        """Return the last line of a container's log, safe to print, or ""."""
        try:
            text = self._ask("GET", f"/containers/{container}/logs?stdout=1&stderr=1&tail=1")[1]
        except EngineError:
            return ""
        # Each chunk has a header of eight bytes (Engine API, "Attach to a container").
        line = text[8:].decode(errors="replace").strip()
        return "".join(c if c.isprintable() else "?" for c in line)[:500]

    def _call(self, method: str, target: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        status, text = self._ask(method, target, body)
        found = _object(text)
        # 304: already started, or stopped already.
        if status >= 400:
            raise EngineError(f"the Docker engine says: {found.get('message', status)}")
        return found

    def _ask(self, method: str, target: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        connection = UnixConnection(str(self._path), self._timeout)
        payload = None if body is None else json.dumps(body)
        try:
            connection.request(method, API + target, payload, {"Content-Type": "application/json"} if payload else {})
            response = connection.getresponse()
            return response.status, response.read(MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"the Docker engine at {self._path} cannot be asked: {error}") from None
        finally:
            connection.close()


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise EngineError("the Docker engine answered with something that is not an object")
    return found
