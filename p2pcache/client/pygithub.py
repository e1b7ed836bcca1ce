"""PyGithub through the node: URLs stay GitHub's, the connection goes to the node's unix socket.

Imported with the first client: PyGithub, requests and urllib3 cost 0.2 s.
"""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests
from github import Auth, Github
from github.GithubObject import Opt, is_undefined
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool, Retry
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError

from p2pcache.github import hosts
from p2pcache.github.methods import SAFE

logger = logging.getLogger(__name__)

_LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class NodeGithub(Github):
    """PyGithub's `Github` whose requests to GitHub's names go to the node at `path`, or to GitHub without it."""

    def __init__(self, path: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._path = path
        mine = _requester_class(path)(**self.requester.kwargs)
        # PyGithub has no argument for this; injecting into its Requester would change every client of the process.
        self._Github__requester = mine
        if self.requester is not mine:
            logger.warning("this PyGithub cannot be led through the node: its calls go to GitHub directly")

    def withLazy(self, lazy: bool) -> Github:  # noqa: N802 - PyGithub's name
        """Return a copy, as PyGithub does, that uses the node too."""
        return NodeGithub(self._path, **{**self.requester.kwargs, "lazy": lazy})


class _NodeRequester(Requester):
    """A requester whose copies stay on the node: PyGithub's own methods would make a plain `Requester`."""

    def withAuth(self, auth: Auth.Auth | None) -> Requester:  # noqa: N802 - PyGithub's name
        return type(self)(**{**self.kwargs, "auth": auth})

    def withLazy(self, lazy: Opt[bool]) -> Requester:  # noqa: N802 - PyGithub's name
        if is_undefined(lazy) or lazy == self.is_lazy:
            return self
        return type(self)(**{**self.kwargs, "lazy": lazy})

    def withApiVersion(self, api_version: str | None) -> Requester:  # noqa: N802 - PyGithub's name
        if api_version == self.api_version:
            return self
        return type(self)(**{**self.kwargs, "api_version": api_version})


class _NodeConnection(HTTPSRequestsConnectionClass):
    """Made by PyGithub for each request once a class is injected; the underlying connections are pooled."""

    transports: ClassVar[_Transports]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.session.mount("https://", self.transports.of(self.retry, self.pool_size))

    def close(self) -> None:
        """Close nothing: the pooled connections stay."""
        self.adapter.close()


def _requester_class(path: Path) -> type[Requester]:
    """Return a class for one client: PyGithub keeps connection classes on the class."""

    class Through(_NodeConnection):
        transports = _Transports(path)

    class ThroughNode(_NodeRequester):
        def close(self) -> None:
            super().close()
            Through.transports.close()

    ThroughNode.injectConnectionClasses(HTTPRequestsConnectionClass, Through)
    return ThroughNode


class _Transports:
    """The adapters of one client, one for each way to retry (PyGithub's is the client's for as long as it lives)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._adapters: dict[tuple[int | Retry, int], FailOpenAdapter] = {}

    def of(self, retry: int | Retry, pool_size: int) -> FailOpenAdapter:
        with self._lock:
            found = self._adapters.get((retry, pool_size))
            if found is None:
                direct = HTTPAdapter(max_retries=retry, pool_connections=pool_size, pool_maxsize=pool_size)
                node = NodeAdapter(self._path, max_retries=retry, pool_maxsize=pool_size)
                found = self._adapters[retry, pool_size] = FailOpenAdapter(node, direct)
            return found

    def close(self) -> None:
        with self._lock:
            for adapter in self._adapters.values():
                adapter.close()


class FailOpenAdapter(BaseAdapter):
    """Send requests through `node`, and through `direct` those that fail there or are not for GitHub.

    A request that the lost node may have received is sent again only if it is a read.
    """

    def __init__(self, node: BaseAdapter, direct: BaseAdapter) -> None:
        super().__init__()
        self._node = node
        self._direct = direct
        self._warned = False

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, see `requests.adapters.BaseAdapter.send`."""
        if hosts.kind(urlsplit(request.url or "").hostname or "") is None:
            return self._direct.send(request, *args, **kwargs)
        try:
            response = self._node.send(request, *args, **kwargs)
            # Read here, where the loss of the node can still be handled; PyGithub reads all of it anyway.
            _ = response.content
        except _LOST as error:
            if request.method not in SAFE and not _never_sent(error):
                raise
            self._warn(error)
            return self._direct.send(request, *args, **kwargs)
        return response

    def close(self) -> None:
        """Close both adapters."""
        self._node.close()
        self._direct.close()

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("the p2pcache node does not answer, GitHub is asked directly: %s", error)


def _never_sent(error: Exception) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


class NodeAdapter(HTTPAdapter):
    """Plain HTTP/1.1 over the node's socket, GitHub's name in `Host`: what gh sends too."""

    def __init__(self, path: Path, max_retries: int | Retry, pool_maxsize: int) -> None:
        super().__init__(max_retries=max_retries)
        # The client's retries are for answers of GitHub; for a lost node, GitHub itself is the retry.
        self.max_retries = self.max_retries.new(connect=0, read=0)
        self._path = path
        self._pool_size = pool_maxsize
        self._lock = threading.Lock()
        self._pools: dict[str, _SocketPool] = {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any
    ) -> HTTPConnectionPool:
        """Return the connection pool for the request's host."""
        host = urlsplit(request.url or "").hostname or ""
        with self._lock:
            if host not in self._pools:
                self._pools[host] = _SocketPool(self._path, host, self._pool_size)
            return self._pools[host]

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        """Verify nothing: the connection to the node has no TLS."""

    def request_url(self, request: requests.PreparedRequest, _proxies: object) -> str:
        """Return the path, whatever proxy the environment names."""
        return request.path_url

    def close(self) -> None:
        """Close the pooled connections; a later request opens new ones."""
        super().close()
        with self._lock:
            while self._pools:
                self._pools.popitem()[1].close()


class _SocketPool(HTTPConnectionPool):
    def __init__(self, path: Path, host: str, maxsize: int) -> None:
        super().__init__(host, maxsize=maxsize)
        self.conn_kw["path"] = path

    class ConnectionCls(HTTPConnection):  # urllib3's name
        def __init__(self, *args: Any, path: Path, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._path = path

        def _new_conn(self) -> socket.socket:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(self.timeout)
                connection.connect(str(self._path))
            except OSError as error:
                connection.close()
                raise NewConnectionError(self, f"{self._path}: {error.strerror or error}") from error
            return connection
