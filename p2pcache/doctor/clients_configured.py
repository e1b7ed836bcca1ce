"""Check 12: the running node can be used by this user, by its socket and its port, and gh and others are led to it."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from p2pcache.doctor.finding import CheckFinding, NotApplicableError, Patient, failed, passed, skipped, warned
from p2pcache.doctor.interception_examination import of_interception
from p2pcache.gateway.ask import NodeError, ask

START = 'start a node with: eval "$(p2pcache up)"'
EXPORT = 'lead this shell to the node with: eval "$(p2pcache env)"'
LEAVE = 'give gh back its own configuration with: eval "$(p2pcache down)", or start a node: eval "$(p2pcache up)"'
_SOCKET_LINE = re.compile(r"^http_unix_socket:\s*(.*?)\s*$", re.MULTILINE)


def examine(patient: Patient) -> Iterator[CheckFinding]:
    """Yield what is found of the socket, the port, gh, and interception."""
    exported = patient.environ.get("P2PCACHE_SOCKET", "")
    intercepted = tuple(of_interception(patient.environ, patient.seconds))
    if patient.node is None and not exported:
        led = gh_socket(patient.environ)
        if not led and not intercepted:
            raise NotApplicableError(f"no node runs here ({START})")
        if led:
            yield failed(f"gh is led to {led}, where no node answers: each of its requests fails", LEAVE)
        yield from intercepted
        return
    used = patient.node or Path(exported)
    yield of_socket(used, patient.seconds)
    if exported and Path(exported) != used:
        yield of_socket(Path(exported), patient.seconds)
    if url := patient.environ.get("P2PCACHE_API_URL", ""):
        yield of_port(url, patient.seconds)
    else:
        yield warned("P2PCACHE_API_URL is not set here: Octokit, PyGithub and curl do not know the node", EXPORT)
    yield of_gh(patient.environ, used)
    yield from intercepted


def of_socket(path: Path, seconds: float) -> CheckFinding:
    """Ask a node by its socket, as gh does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(seconds)
            probe.connect(str(path))
        status = ask(str(path), "/-/healthz", seconds).get("status")
    except PermissionError:
        return failed(
            f"this user (uid {os.geteuid()}) may not use the socket {path}",
            "run as the node's user, or give --socket a folder that this user may enter",
        )
    except OSError as error:
        reason = {errno.ENOENT: "no socket is there", errno.ECONNREFUSED: "nobody listens there any more"}
        return failed(f"{path}: {reason.get(error.errno or 0, error.strerror or 'it does not answer')}", START)
    except NodeError as error:
        return failed(f"{path}: {error}", START)
    return passed(f"this user can use the socket {path}: the node is {status}")


def of_port(url: str, seconds: float) -> CheckFinding:
    """Ask a node by its port, as Octokit and curl do."""
    try:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
        try:
            connection.request("GET", "/-/healthz")
            answered = json.loads(connection.getresponse().read(1 << 16))["status"]
        finally:
            connection.close()
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return failed(f"no node answers at P2PCACHE_API_URL, {url}: {reason}", EXPORT)
    return passed(f"the node answers at {url}: {answered}")


def of_gh(environ: Mapping[str, str], used: Path) -> CheckFinding:
    """Look where gh connects to."""
    if shutil.which("gh", path=environ.get("PATH", os.defpath)) is None:
        return skipped("gh is not installed here")
    led = gh_socket(environ)
    if not led:
        return warned("gh is not led to the node: its requests go to GitHub", EXPORT)
    if not _same(Path(led), used):
        return warned(f"gh is led to {led}, and the node here is at {used}", EXPORT)
    return passed(f"gh is led to {led}")


def gh_socket(environ: Mapping[str, str]) -> str:
    """Return the `http_unix_socket` of gh's configuration, or ""."""
    named, home = environ.get("GH_CONFIG_DIR"), environ.get("XDG_CONFIG_HOME")
    folder = Path(named) if named else Path(home or Path(environ.get("HOME") or "/nonexistent") / ".config") / "gh"
    try:
        found = _SOCKET_LINE.search((folder / "config.yml").read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
    return found[1].strip("\"'") if found else ""


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other
