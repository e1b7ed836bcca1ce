"""``p2pcache get`` and ``stats``: requests to the running node."""

from __future__ import annotations

import http.client
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from p2pcache.commands.background import foreground, no_node, running
from p2pcache.commands.console import fail, print_line, settings_or_exit, to_stdout
from p2pcache.commands.explain import explanation, refusal
from p2pcache.commands.terminal_report import print_report
from p2pcache.gateway.ask import NodeError, UnixConnection, ask_any
from p2pcache.gateway.listen import listens
from p2pcache.gateway.routing import LAYOUT, Upstreams
from p2pcache.github.hosts import API_HOST
from p2pcache.runner.report import markdown
from p2pcache.settings import ClientSettings

GET_SECONDS = 90.0


def node_socket(named: str | None) -> str:
    """Return the socket of the node in the directory `named`; without it, of this shell's or the default node."""
    return found_socket(named) or no_node()


def found_socket(named: str | None) -> str | None:
    """Return that of `node_socket`, None where no node runs."""
    exported = None if named else ClientSettings.from_env().socket
    directory = settings_or_exit({"directory": named} if named else {}).directory
    started = running(directory)
    known = (exported, started and started["socket"], foreground(directory))
    return next((str(path) for path in known if path and listens(Path(path))), None)


def get(path: str, directory: str | None, *, explain: bool, accept: str) -> int:
    """Print the body of an answer; return 0 for a status below 400, else 1."""
    if not all("!" <= c <= "~" for c in path):
        fail("PATH: expected an API path without spaces, e.g. /repos/OWNER/REPO", 2)
    socket = node_socket(directory)
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
            with to_stdout():
                sys.stdout.buffer.write(piece)
    except (OSError, http.client.HTTPException) as error:
        fail(f"the node does not answer: {type(error).__name__}")
    finally:
        connection.close()
    asked_with = {"with_token": token is not None}
    if response.status >= http.client.BAD_REQUEST:
        print_line(refusal(response.status, response.reason, target, **asked_with))
    if explain:
        fields = {name.lower(): value for name, value in response.getheaders()}
        api_path = target.removeprefix(LAYOUT).partition("?")[0]
        print_line(explanation(api_path, response.status, fields, milliseconds, **asked_with))
    return 0 if response.status < http.client.BAD_REQUEST else 1


def _address(socket: str, path: str) -> tuple[str, str]:
    """Return the Host and target under which the node serves a path, or a URL, of its upstream's API."""
    try:
        upstreams = Upstreams(str(ask_any(socket, "/-/stats")["node"]["upstream"]))
    except (NodeError, KeyError):
        upstreams = Upstreams(f"https://{API_HOST}")
    base = next((base for base in upstreams.bases if path.startswith(f"{base}/")), "")
    target = "/" + path.removeprefix(base).removeprefix("/")
    if not upstreams.enterprise:
        return API_HOST, target
    return upstreams.host, urlsplit(upstreams.api).path + target


def stats(form: str, directory: str | None) -> None:
    """Print the ledger as a table, JSON or Markdown."""
    ledger = ask_node("/-/stats", directory)
    with to_stdout():
        if form == "table":
            print_report(ledger)
        else:
            click.echo(markdown(ledger) if form == "markdown" else json.dumps(ledger, indent=2))


def ask_node(target: str, directory: str | None) -> Any:
    """Return the running node's answer, or print one sentence and exit."""
    try:
        return ask_any(node_socket(directory), target)
    except NodeError as error:
        fail(str(error))
