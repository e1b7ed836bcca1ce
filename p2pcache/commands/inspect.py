"""``p2pcache get`` and ``stats``: questions to the running node."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from p2pcache.commands.background import no_node, running
from p2pcache.commands.console import fail, note, settings_or_exit
from p2pcache.commands.explain import explanation, refusal
from p2pcache.gateway.ask import NodeError, UnixConnection, ask_any
from p2pcache.gateway.listen import listens
from p2pcache.gateway.routing import LAYOUT, Upstreams
from p2pcache.github.hosts import API_HOST
from p2pcache.runner.report import markdown, text
from p2pcache.settings import ClientSettings

GET_SECONDS = 90.0


def node_socket() -> str:
    """The running node's socket: the one exported to this shell, else that of ``up``'s or ``serve``'s directory."""
    exported = ClientSettings.from_env().socket
    directory = settings_or_exit({}).directory
    started = running(directory)
    known = (exported, started and started["socket"], directory / "gateway.sock")
    return next((str(path) for path in known if path and listens(Path(path))), None) or no_node()


def get(path: str, *, explain: bool, accept: str) -> int:
    """Print the body; 0 for an answer below 400, 1 otherwise."""
    if not all("!" <= c <= "~" for c in path):
        fail("PATH: expected an API path without spaces, e.g. /repos/OWNER/REPO", 2)
    socket = node_socket()
    host, target = _address(socket, path)
    token = ClientSettings.from_env().token
    headers = {"Host": host, "Accept": accept, "P2pcache-Explain": "1"}
    if token is not None:
        headers["Authorization"] = f"token {token.reveal()}"
    connection = UnixConnection(socket, GET_SECONDS)
    started = time.perf_counter()
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        milliseconds = (time.perf_counter() - started) * 1000
        while piece := response.read1(1 << 16):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, http.client.HTTPException) as error:
        fail(f"the node does not answer: {type(error).__name__}")
    finally:
        connection.close()
    asked_with = {"with_token": token is not None}
    if response.status >= http.client.BAD_REQUEST:
        note(refusal(response.status, response.reason, target, **asked_with))
    if explain:
        fields = {name.lower(): value for name, value in response.getheaders()}
        api_path = target.removeprefix(LAYOUT).partition("?")[0]
        note(explanation(api_path, response.status, fields, milliseconds, **asked_with))
    return 0 if response.status < http.client.BAD_REQUEST else 1


def _address(socket: str, path: str) -> tuple[str, str]:
    """The Host and target by which the node knows a path, or a URL, of its own upstream's API."""
    try:
        upstreams = Upstreams(str(ask_any(socket, "/-/stats")["node"]["upstream"]))
    except (NodeError, KeyError):
        upstreams = Upstreams(f"https://{API_HOST}")
    base = next((base for base in upstreams.bases if path.startswith(f"{base}/")), "")
    target = "/" + path.removeprefix(base).removeprefix("/")
    if not upstreams.enterprise:
        return API_HOST, target
    return upstreams.host, urlsplit(upstreams.api).path + target


def stats(form: str) -> None:
    """Print the ledger as a table, JSON or Markdown."""
    ledger = ask_node("/-/stats")
    match form:
        case "json":
            click.echo(json.dumps(ledger, indent=2))
        case "markdown":
            click.echo(markdown(ledger))
        case _:
            click.echo(text(ledger))


def ask_node(target: str) -> Any:
    """What the running node answers, or one sentence and the end."""
    try:
        return ask_any(node_socket(), target)
    except NodeError as error:
        fail(str(error))
