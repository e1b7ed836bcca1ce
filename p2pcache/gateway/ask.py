"""Ask a running node for its control endpoints over the unix socket, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

MOST_BYTES = 8 << 20


class NodeError(RuntimeError):
    """The node gave no usable answer."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket's path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path: str, target: str, timeout: float = 5.0) -> dict[str, Any]:
    """GET `target` (e.g. ``/-/stats``) from the node whose socket is `path`.

    Raises:
        NodeError: it does not answer in time, or not with a JSON object.
    """
    found = ask_any(path, target, timeout)
    if not isinstance(found, dict):
        raise NodeError(f"the node answered {target} with something that is not an object")
    return found


def ask_any(path: str, target: str, timeout: float = 5.0, body: object = None) -> Any:
    """The same for an endpoint whose answer is any JSON value; with `body`, which is sent as JSON, a POST.

    Raises:
        NodeError: it does not answer in time, or not with JSON.
    """
    connection = UnixConnection(path, timeout)
    try:
        connection.request(*(("GET", target) if body is None else ("POST", target, json.dumps(body))))
        response = connection.getresponse()
        answer = response.read(MOST_BYTES)
        if response.status != http.client.OK:
            raise NodeError(f"the node answered {target} with status {response.status}")
        return json.loads(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NodeError(f"the node does not answer {target}: {type(error).__name__}") from None
    finally:
        connection.close()
