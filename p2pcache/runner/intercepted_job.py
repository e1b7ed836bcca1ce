"""``intercept: true``: GitHub's API under its own name for the later steps of this job, or why not.

By name only where no other job is concerned: on a machine that GitHub throws away after the job, or in a job container,
which has a hosts file of its own. Elsewhere a step may name the proxy in its own ``env``. Whatever fails here leaves
nothing behind, and costs the job no more than its cache for some clients.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from p2pcache.gateway.listen import BACKLOG
from p2pcache.gateway.routing import Upstreams
from p2pcache.interception import certificate, counts, hosts_file, trust_files
from p2pcache.interception.counts import Counts
from p2pcache.interception.hosts_file import HOSTS, Led
from p2pcache.interception.resolver import is_elsewhere
from p2pcache.runner import as_root, supervisor, watch
from p2pcache.runner.interceptor_process import OVER, InterceptorPlan
from p2pcache.runner.supervisor import SupervisorError
from p2pcache.settings import INTERCEPTOR_KEY

READY_SECONDS = 10.0
STOP_SECONDS = 9.0
OVER_SECONDS = 3.0
HTTPS = 443
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(9, 25))
"""Those that are tried: another job container in the host's network may have some of them."""


@dataclass(slots=True)
class Intercepted:
    """What came of it.

    Attributes:
        variables: for later steps; empty where names do not lead here.
        outputs: ``proxy`` and ``certificate``; empty where nothing runs.
        notice: why the names do not lead here, or a part of it failed; empty where they do.
        warning: whether that is unexpected.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""
    warning: bool = False


def addresses(name: str) -> list[str]:
    """Return where a name is now, as the system has it."""
    try:
        found = socket.getaddrinfo(name, HTTPS, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _NotHereError(Exception):
    """Names cannot lead here; the message says why."""


@dataclass(frozen=True, slots=True)
class Interception:
    """Where the files are, and what is known of the job.

    Attributes:
        directory: of the interceptor, below the runner's temporary folder.
        node: the node's socket.
        upstream: the API behind the node.
        environ: of the job.
        hosts: the hosts file.
        port: at which the names are answered.
        find: returns the addresses that the system has for a name.
    """

    directory: Path
    node: Path
    upstream: str
    environ: Mapping[str, str]
    hosts: Path = HOSTS
    port: int = HTTPS
    find: Callable[[str], list[str]] = addresses

    @property
    def run(self) -> Path:
        """The folder of its supervisor."""
        return self.directory / "run"

    @property
    def owner(self) -> Path:
        """The file with the owner of its lines in the hosts file."""
        return self.directory / "owner"

    @property
    def counts(self) -> Path:
        """What was counted."""
        return self.run / "counts.json"


def begin(place: Interception) -> Intercepted:
    """Lead GitHub's API here, and start what answers it."""
    names = hosts_of(place.upstream)
    if sys.platform != "linux":
        return Intercepted(notice="intercept: true needs Linux, where a client can be looked at before it is answered")
    if not names:
        return Intercepted(
            notice=f"intercept: true is for github.com and *.ghe.com alone, not for {urlsplit(place.upstream).hostname}"
        )
    try:
        with ExitStack() as opened:
            return _begin(place, names, opened)
    except (OSError, SupervisorError) as error:
        supervisor.stop(place.run, STOP_SECONDS)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Intercepted(notice=f"intercept: true: {reason}; clients without a base URL go to GitHub", warning=True)


def _begin(place: Interception, names: Sequence[str], opened: ExitStack) -> Intercepted:
    hosted = place.environ.get("RUNNER_ENVIRONMENT") == "github-hosted"
    signed, key = certificate.issue(names, certificate.HOSTED_LIFE if hosted else certificate.OWN_LIFE)
    trust = trust_files.write(place.directory / "tls", signed, place.environ)
    own = place.directory / "tls" / "own.pem"
    own.write_bytes(signed)
    proxy = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=BACKLOG))
    notice, warning = "", False
    led: dict[str, socket.socket] = {}
    seen: dict[str, list[str]] = {name: [] for name in names}
    try:
        _check(place, names, hosted=hosted)
        seen |= {name: _real(place, name) for name in names}
        led = _listeners(place, names, opened)
    except _NotHereError as error:
        notice = str(error)
    except OSError as error:
        notice, warning = f"port {place.port} cannot be had: {error.strerror or error}", True
    owner = hosts_file.new_owner() if led else ""
    plan = InterceptorPlan(
        node=str(place.node),
        names={name: (led[name].fileno() if led else 0, seen[name]) for name in names},
        proxy=proxy.fileno(),
        certificate=str(own),
        ours=sorted(trust.paths),
        folder=str(place.directory / "tls" / "dir"),
        folders=list(trust.folders),
        directory=str(place.run),
        owner=owner,
        hosts_file=str(place.hosts) if led else "",
    )
    place.owner.write_text(owner, "ascii")
    place.counts.unlink(missing_ok=True)  # of a use of this folder that is over
    supervisor.start_beside(
        [sys.executable, "-m", "p2pcache.runner.interceptor_process", msgspec.json.encode(plan).decode()],
        place.run,
        READY_SECONDS,
        listeners=[proxy, *led.values()],
        environ={**place.environ, INTERCEPTOR_KEY: key.decode()},
        at_end=as_root.withdrawing(owner, place.hosts) if led else (),
    )
    outputs = {"proxy": f"http://127.0.0.1:{proxy.getsockname()[1]}", "certificate": trust.bundle}
    if led:
        try:
            _lead(place, led, seen, owner)
        except OSError as error:
            with suppress(OSError):  # then its process does it, when it ends
                as_root.withdraw(owner, place.hosts)
            notice, warning, led = f"{place.hosts}: {error.strerror or error}", True, {}
    if notice:
        notice = (
            f"intercept: true: {names[0]} does not lead to the cache ({notice}). A step may name the outputs `proxy` "
            "and `certificate` in its own env (docs/interception.md)"
        )
    return Intercepted(trust.variables if led else {}, outputs, notice, warning)


def end(place: Interception) -> Counts:
    """Take the names out, and return what was counted; nobody is answered from then on.

    On a runner what listened stays until that ends what a job leaves behind: it passes on who still has the address.
    """
    with suppress(OSError):  # then its process does it, when it ends
        if owner := place.owner.read_text("ascii"):
            as_root.withdraw(owner, place.hosts)
    if watch.TRACKING in place.environ:
        if supervisor.status(place.run):
            supervisor.tell(place.run, OVER)
            _await_over(place.counts)
    else:
        supervisor.stop(place.run, STOP_SECONDS)
    return counts.read(place.counts)


def _await_over(path: Path) -> None:
    limit = time.monotonic() + OVER_SECONDS
    while time.monotonic() < limit and not counts.read(path).over:
        time.sleep(supervisor.LOOK_SECONDS)


def remove_stale(hosts: Path = HOSTS, port: int = HTTPS) -> list[str]:
    """Take out lines whose listener is gone, e.g. of a job that was killed; return the names that they had."""
    stale = [line for line in hosts_file.led(hosts) if not _answers(line, port)]
    with suppress(OSError):  # root is not to be had here
        for owner in dict.fromkeys(line.owner for line in stale):
            as_root.withdraw(owner, hosts)
    there = hosts_file.led(hosts)
    return [line.name for line in stale if line not in there]


def hosts_of(upstream: str) -> tuple[str, ...]:
    """Return the names that are led: those of the API and of uploads; none where another server has these."""
    parts = urlsplit(upstream)
    upstreams = Upstreams(upstream)
    uploads = urlsplit(upstreams.uploads).hostname or ""
    if parts.scheme != "https" or parts.path or parts.port not in (None, HTTPS) or uploads == upstreams.host:
        return ()
    return upstreams.host, uploads


def _check(place: Interception, names: Sequence[str], *, hosted: bool) -> None:
    """See whether names may lead here.

    Raises:
        _NotHereError: they may not.
    """
    contained = bool(place.environ.get("JOB_CONTAINER"))
    if contained and os.geteuid() != 0:
        raise _NotHereError("this job's container does not run as root")
    if not contained and not hosted:
        raise _NotHereError("other jobs share this machine's hosts file")
    if not as_root.allowed():
        raise _NotHereError("sudo asks for a password here")
    if taken := [name for name in names if name in hosts_file.names(place.hosts)]:
        raise _NotHereError(f"{place.hosts} has {taken[0]} already")


def _real(place: Interception, name: str) -> list[str]:
    """Return where a name is before it is led here.

    Raises:
        _NotHereError: nobody knows.
    """
    found = [address for address in place.find(name) if is_elsewhere(address)]
    if not found:
        raise _NotHereError(f"the address of {name} is not known here")
    return found


def _listeners(place: Interception, names: Sequence[str], opened: ExitStack) -> dict[str, socket.socket]:
    """Listen at an address of its own for each name.

    Raises:
        OSError: no address has the port free.
    """
    found: dict[str, socket.socket] = {}
    for address in ADDRESSES:
        try:
            found[names[len(found)]] = opened.enter_context(as_root.listen(address, place.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        if len(found) == len(names):
            return found
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _lead(place: Interception, led: Mapping[str, socket.socket], seen: Mapping[str, list[str]], owner: str) -> None:
    """Add the lines, and see that they count.

    Raises:
        OSError: the file cannot be written, or this system does not read it.
    """
    lines = [Led(name, listener.getsockname()[0], owner, tuple(seen[name])) for name, listener in led.items()]
    as_root.lead(lines, place.hosts)
    for line in lines:
        if place.find(line.name) != [line.address]:
            reason = "another program has led it elsewhere, or this system reads another file"
            raise OSError(None, f"{line.name} does not lead here: {reason}")


def _answers(line: Led, port: int) -> bool:
    try:
        with socket.create_connection((line.address, port), timeout=1.0):
            return True
    except OSError:
        return False
