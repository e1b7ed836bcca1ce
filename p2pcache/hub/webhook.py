"""``POST /-/webhook``: what GitHub reports as changed is dropped, here and at the peers (docs/webhooks.md).

The one proof of a sender is GitHub's signature over the body as it came (docs.github.com, "Validating webhook
deliveries"). It does not cover the headers, so nothing that they say can do more than drop too much: a delivery that
is repeated under another id drops once more.

A delivery costs nothing before its signature is there in form, and memory within bounds before it is verified. A body
beyond these bounds is still verified, as it streams by: GitHub means it, so it drops everything.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from p2pcache.bounded import Bounded
from p2pcache.gateway.control import Access, Endpoint, checked, reply_json
from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.gateway.routing import Upstreams, split_port
from p2pcache.github import events
from p2pcache.github.writes import ALL
from p2pcache.ledger.ledger import Ledger
from p2pcache.settings import Settings, SettingsError

log = logging.getLogger(__name__)

VARIABLE = "CACHE_WEBHOOK_SECRET"
MAX_SECRETS = 4
"""Each costs a digest of every body."""
MAX_BODY = 26 << 20
"""Bytes. GitHub delivers no payload above 25 MB (docs.github.com, "Webhook events and payloads")."""
MAX_KEPT = 4 << 20
"""Bytes of a body that are kept until it is verified: a push of 2,048 commits, the most there is, has fewer."""
MAX_HELD = 32 << 20
"""Bytes of all bodies that are kept at a moment, since anybody can send one."""
ALWAYS_KEPT = 64 << 10
"""Bytes of a body that are kept even so, for as many as there are connections: most of GitHub's have fewer."""
SECONDS = 10.0
"""For a body to come: GitHub gives a delivery up after that time (docs.github.com, "Best practices")."""
MAX_SEEN = 16_384
"""Deliveries that are remembered, at 200 bytes each."""
LAG = 3.0
"""Seconds that GitHub's API may be behind its webhooks: "a few", says https://github.com/octokit/octokit.js/issues/900.
What was asked for between a delivery and then may be the state before."""
MAX_PENDING = 4096
"""Topics that wait to be dropped; beyond that everything is."""

_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")
_DELIVERY = re.compile(r"[0-9A-Za-z-]{1,64}")
_TENANT = "api."

Drop = Callable[[tuple[str, ...]], Awaitable[None]]


def webhook_of(settings: Settings, upstreams: Upstreams, wrote: Drop, ledger: Ledger) -> Webhook:
    """Return the webhook of a node that has a secret to verify deliveries with.

    Args:
        settings: the secrets, and those that must be other ones.
        upstreams: whose deliveries are taken.
        wrote: drops topics here and at the peers.
        ledger: counts deliveries.

    Raises:
        SettingsError: a secret can be guessed, is used for something else too, or they are too many.
    """
    if len(settings.webhook_secrets) > MAX_SECRETS:
        raise SettingsError(f"{VARIABLE}: at most {MAX_SECRETS} are accepted at a time, a line each")
    others = {*settings.secrets, settings.control_token, settings.token}
    kept = "GitHub keeps this secret"
    secrets = [checked(VARIABLE, secret, others, kept).encode() for secret in settings.webhook_secrets]
    return Webhook(secrets, upstreams.host, wrote, ledger.delivered)


class _Room:
    """Counts the bytes that all bodies take."""

    def __init__(self) -> None:
        self.held = 0


class _Gathered:
    """A body while it comes: its digests, and its bytes as long as there is room for them."""

    def __init__(self, secrets: Sequence[bytes], room: _Room) -> None:
        self._digests = [hmac.new(secret, digestmod=hashlib.sha256) for secret in secrets]
        self._room = room
        self._kept: bytearray | None = bytearray()
        self._received = 0

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            BadRequest: it is too much.
        """
        self._received += len(piece)
        if self._received > MAX_BODY:
            raise _too_large()
        for digest in self._digests:
            digest.update(piece)
        if self._kept is None:
            return
        full = self._room.held + len(piece) > MAX_HELD and self._received > ALWAYS_KEPT
        if full or self._received > MAX_KEPT:
            self.leave()
        else:
            self._kept += piece
            self._room.held += len(piece)

    def signed(self, given: bytes) -> bool:
        """Return whether one of the secrets gives this signature, without showing which."""
        equal = [hmac.compare_digest(digest.digest(), given) for digest in self._digests]
        return any(equal)

    @property
    def body(self) -> bytes | None:
        """The body; None where there was no room for it."""
        return None if self._kept is None else bytes(self._kept)

    def leave(self) -> None:
        """Give its room back."""
        if self._kept is not None:
            self._room.held -= len(self._kept)
            self._kept = None


class Webhook:
    """Receives deliveries.

    Args:
        secrets: any of them may have signed.
        host: the API's; of another GitHub nothing is taken.
        wrote: drops topics here and at the peers.
        counted: called with the outcome of each delivery: ``dropped``, ``ignored``, ``repeated``, ``unsigned`` or
            ``unusable``.
    """

    def __init__(self, secrets: Sequence[bytes], host: str, wrote: Drop, counted: Callable[[str], None]) -> None:
        self._secrets = secrets
        self._hosts = {host, host.removeprefix(_TENANT)}
        self._wrote = wrote
        self._counted = counted
        self._room = _Room()
        self._seen: Bounded[bytes, None] = Bounded(MAX_SEEN)
        self._pending: dict[str, None] = {}
        self._dropping = asyncio.Lock()
        self._young: dict[str, None] = {}
        self._old: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._repeats: set[asyncio.Task[None]] = set()

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoint."""
        return (Endpoint("webhook", ("POST",), Access.OPEN, self.answer),)

    def close(self) -> None:
        """Drop nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        for repeat in self._repeats:
            repeat.cancel()

    async def answer(self, exchange: Exchange) -> None:
        """Answer one delivery, once what it names is dropped.

        Raises:
            BadRequest: its sender is not GitHub, or it cannot be used.
        """
        try:
            outcome, said = await self._receive(exchange)
        except BadRequest as error:
            self._counted("unsigned" if error.status == 401 else "unusable")
            raise
        self._counted(outcome)
        await reply_json(exchange, said)

    async def _receive(self, exchange: Exchange) -> tuple[str, Mapping[str, str]]:
        headers = exchange.headers
        signature = _SIGNATURE.fullmatch(headers.get("x-hub-signature-256", ""))
        if signature is None:
            raise _unsigned()
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise BadRequest(415, "Choose application/json as the webhook's content type at GitHub.")
        body = await self._verified(exchange, bytes.fromhex(signature[1]))
        event = headers.get("x-github-event", "")
        delivery = headers.get("x-github-delivery", "")
        if not (events.NAME.fullmatch(event) and _DELIVERY.fullmatch(delivery)):
            raise BadRequest(400, "A delivery of GitHub has an X-GitHub-Event and an X-GitHub-Delivery.")
        host = headers.get("x-github-enterprise-host", "")
        if host and split_port(host) not in self._hosts:
            raise BadRequest(403, "This delivery is of another GitHub than the one behind this cache (CACHE_UPSTREAM).")
        seen = hashlib.sha256(f"{delivery} {signature[1]}".encode()).digest()
        if seen in self._seen:
            return "repeated", {"status": "already seen"}
        try:
            drops = (ALL,) if body is None else events.drops(event, body)
        except ValueError as error:
            raise BadRequest(400, f"The body of this delivery is {error}.") from None
        await self._drop(drops)
        self._repeat(drops)
        self._seen[seen] = None
        log.debug("webhook %s: %d topics", event, len(drops))
        if event == "meta":
            log.warning("GitHub says that a webhook was deleted: what it covered is now as old as its lifetime allows")
        if drops:
            return "dropped", {"status": "dropped", "event": event}
        return "ignored", {"status": "ignored", "event": event, "reason": f"{event} {events.IGNORED[event]}"}

    async def _verified(self, exchange: Exchange, given: bytes) -> bytes | None:
        """Read a body that GitHub has signed; None of one that is too large to be kept meanwhile.

        Raises:
            BadRequest: the signature is of another body or secret, or the body too large or too slow.
        """
        if (exchange.length or 0) > MAX_BODY:
            raise _too_large()
        gathered = _Gathered(self._secrets, self._room)
        try:
            async with asyncio.timeout(SECONDS):
                async for piece in exchange.stream():
                    gathered.add(piece)
        except TimeoutError:
            sentence = f"The delivery did not come within {SECONDS:g} seconds."
            raise BadRequest(408, sentence, (b"connection", b"close")) from None
        else:
            if not gathered.signed(given):
                raise _unsigned()
            return gathered.body
        finally:
            gathered.leave()

    async def _drop(self, drops: tuple[str, ...]) -> None:
        """Drop topics; those of deliveries that come while others are dropped are dropped together."""
        self._pending = _bounded(self._pending, drops)
        async with self._dropping:
            together, self._pending = self._pending, {}
            try:
                if together:
                    await self._wrote(tuple(together))
            except BaseException:
                self._pending = together | self._pending  # those of other deliveries are theirs to drop now
                raise

    def _repeat(self, drops: tuple[str, ...]) -> None:
        """Drop the same once more, `LAG` to twice `LAG` seconds from now, all of that time with one timer."""
        self._young = _bounded(self._young, drops)
        if self._young and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LAG, self._ripen)

    def _ripen(self) -> None:
        ripe, self._old, self._young = self._old, self._young, {}
        again = bool(self._old)
        self._timer = asyncio.get_running_loop().call_later(LAG, self._ripen) if again else None
        if ripe:
            repeat = asyncio.create_task(self._drop(tuple(ripe)))
            self._repeats.add(repeat)
            repeat.add_done_callback(self._repeats.discard)


def _bounded(waiting: dict[str, None], drops: tuple[str, ...]) -> dict[str, None]:
    """Return the topics that wait with further ones; everything where these are too many."""
    together = waiting | dict.fromkeys(drops)
    return together if len(together) <= MAX_PENDING else {ALL: None}


def _unsigned() -> BadRequest:
    return BadRequest(401, "This needs GitHub's signature.")


def _too_large() -> BadRequest:
    sentence = f"GitHub delivers at most 25 MB, and this takes {MAX_BODY >> 20} MiB."
    return BadRequest(413, sentence, (b"connection", b"close"))
