"""The node's own endpoints below ``/-/`` (docs/interface.md#control-endpoints): their names, methods and callers.

Callers on this machine may read, and so may a caller with the control token. What changes the node needs that token, or
the unix socket and this node's own user: every user of a machine reaches its loopback, and so does every page in a
browser on it.
"""

from __future__ import annotations

import contextlib
import enum
import hmac
import secrets
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from p2pcache import files
from p2pcache.cache.sealing import check_secret
from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.gateway.head import Line, cache_status
from p2pcache.gateway.listen import here
from p2pcache.github.tokens import token_in
from p2pcache.settings import Settings, SettingsError
from p2pcache.values import Secret

STATUS: Line = cache_status("detail=control")
"""What every answer of an endpoint has."""
JSON_LINE: Line = (b"content-type", b"application/json; charset=utf-8")

CHALLENGES: tuple[Line, ...] = (
    (b"www-authenticate", b'Bearer realm="p2pcache"'),
    (b"www-authenticate", b'Basic realm="p2pcache: any name, the control token as password", charset="UTF-8"'),
)
"""The second is what has a browser ask its user."""

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

VARIABLE = "CACHE_CONTROL_TOKEN"
TOKEN_FILE = "control-token"  # noqa: S105 - its name
TOKEN_BYTES = 32
MADE = (
    f" (where it is not set: what {TOKEN_FILE} in the node's --dir holds, after `up` and with --socket PATH "
    f"PATH.{TOKEN_FILE}), or ask over its unix socket as its user"
)


class Access(enum.Enum):
    """Who may use an endpoint."""

    OPEN = "open"
    """Everybody: the endpoint decides by itself, from what the request proves."""
    READ = "read"
    """This machine, and holders of the control token."""
    CHANGE = "change"
    """Holders of the control token, and this node's own user on the unix socket."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint.

    Attributes:
        name: the path below ``/-/``.
        methods: those it takes.
        access: who may use it.
        answer: replies; raises BadRequest for what cannot be used.
        below: whether it answers at every path below its own too.
    """

    name: str
    methods: tuple[str, ...]
    access: Access
    answer: Callable[[Exchange], Awaitable[None]]
    below: bool = False


class Gate:
    """Decides who may use an endpoint.

    Args:
        token: the bearer token of callers that nothing else vouches for; None: no such caller is served.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token

    def check(self, exchange: Exchange, access: Access) -> None:
        """Let through callers that are vouched for or have the bearer token, and never a page of another site.

        Raises:
            BadRequest: this caller may not.
        """
        if access is Access.OPEN:
            return
        changes = access is Access.CHANGE
        headers = exchange.headers
        if exchange.foreign:
            raise BadRequest(403, "Pages of other sites may not ask this.")
        if not proxied(exchange):
            if here(exchange.client) and not changes:
                return
            if changes and "origin" not in headers and exchange.own_user():
                return
        if self._token is None:
            raise BadRequest(403, "From elsewhere this needs CACHE_CONTROL_TOKEN set at the node, and sent.")
        authorization = headers.get("authorization", "")
        # A browser sends Basic credentials again by itself, for any page that has it ask: they are for reading alone.
        basic = authorization.strip().lower().startswith("basic")
        if (changes and basic) or not self.holds(authorization):
            challenges = CHALLENGES[:1] if changes else CHALLENGES
            raise BadRequest(401, f"Send the node's CACHE_CONTROL_TOKEN as a bearer token{MADE}.", *challenges)

    def holds(self, authorization: str) -> bool:
        """Return whether an ``Authorization`` is the control token."""
        given = token_in(authorization) or ""
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def may_read(self, exchange: Exchange) -> bool:
        """Return whether this caller may ask the endpoints that are not for everybody."""
        try:
            self.check(exchange, Access.READ)
        except BadRequest:
            return False
        return True


def proxied(exchange: Exchange) -> bool:
    """Return whether a request came through a proxy, so that its address is not the caller's."""
    return any(name in exchange.headers for name in FORWARDED)


class ControlPlane:
    """Hands each control request to its endpoint.

    Args:
        gate: who may use which.
        endpoints: all there are, each name once.
    """

    def __init__(self, gate: Gate, endpoints: Iterable[Endpoint]) -> None:
        self._gate = gate
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}

    def opened_by(self, authorization: str) -> bool:
        """Return whether an ``Authorization`` is the control token, which goes nowhere else."""
        return self._gate.holds(authorization)

    @property
    def names(self) -> str:
        """The endpoints' paths, for people."""
        return ", ".join(f"/-/{name}" for name in self._endpoints)

    async def answer(self, exchange: Exchange, path: str) -> None:
        """Answer one control request.

        Raises:
            BadRequest: not allowed, unknown, or with a body that cannot be used.
        """
        name, _, below = path.partition("?")[0].partition("/")
        endpoint = self._endpoints.get(name)
        if endpoint is None or (below and not endpoint.below):
            raise BadRequest(404, f"There is no such control endpoint; these are: {self.names}.")
        exchange.route = f"{exchange.method} /-/{name}"
        if exchange.method not in endpoint.methods:
            allowed = ", ".join(endpoint.methods)
            raise BadRequest(405, f"/-/{name} takes {allowed}.", (b"allow", allowed.encode()))
        self._gate.check(exchange, endpoint.access)
        await endpoint.answer(exchange)


async def reply_json(exchange: Exchange, value: object) -> None:
    """Reply with a value as JSON."""
    await exchange.reply(200, msgspec.json.encode(value), [JSON_LINE, STATUS])


def checked(variable: str, secret: Secret, others: Container[Secret | None], reach: str) -> str:
    """Return a secret that a variable gives, if it cannot be guessed and is none of the others.

    Args:
        variable: its name, for the sentence.
        secret: what it says.
        others: the secrets and tokens of other uses.
        reach: who sees or sends it: the reason why it must open nothing else.

    Raises:
        SettingsError: it is not to be used.
    """
    if secret in others:
        raise SettingsError(f"{variable}: {reach}, so it must be one that opens nothing else")
    try:
        check_secret(secret.reveal())
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from None
    return secret.reveal()


def chosen_token(settings: Settings) -> str | None:
    """Return the control token that the user chose, if any.

    Raises:
        SettingsError: it can be guessed, or is used for something else too.
    """
    token = settings.control_token
    others = {*settings.secrets, *settings.webhook_secrets, settings.token}
    return checked(VARIABLE, token, others, "what watches this node sends it") if token else None


@contextlib.contextmanager
def own_token(path: Path) -> Iterator[str]:
    """Keep a control token for one life of a node in the file `path`, which this user alone can read.

    Raises:
        OSError: it cannot be written there.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    files.replace(path, token.encode(), files.PRIVATE)
    try:
        yield token
    finally:
        with contextlib.suppress(OSError):
            if path.read_text("ascii") == token:  # not that of a node which took the directory over
                path.unlink()
