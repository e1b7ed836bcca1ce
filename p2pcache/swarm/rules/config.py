"""How a node takes part in its swarm: settings, bounds, and what the two call of each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from p2pcache.cache.entry import Pointer
from p2pcache.swarm.rules.admitted import Gatekeeper, TokenSource


class SwarmError(Exception):
    """The swarm cannot start; the message is one sentence for the user."""


DialTurns = tuple[tuple[float, float], tuple[float, float]]
"""Seconds, from and to, after which a member is dialled that was named: by the first of the two, and by the second."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of the swarm, in one place. Times are seconds, sizes bytes."""

    start_timeout: float = 30.0
    stop_timeout: float = 3.0
    save_interval: float = 2.0
    """Between two looks whether the address book has to be written."""
    dial_turns: DialTurns = (0.5, 6.0), (8.0, 12.0)
    """A fleet that starts together first joins its hub and works through it; other links come later."""

    members: int = 256
    """Peers connected at the same time; one more is refused."""
    handshakes: int = 64
    """Connections that have not proved membership yet; one more waits for a place."""
    handshakes_per_address: int = 32
    """The same from one IPv4 address, or one IPv6 /64."""
    waiting: int = 512
    """Connections that wait for such a place; for one more, one of the address with the most of them is closed."""
    mute: float = 0.25
    """Seconds after which a connection that has sent nothing at all gives way to one that waits."""
    stalled: float = 0.7
    """The same for one that began to, and stopped: a joiner on a starved machine does that, too."""
    handshake_timeout: float = 5.0
    dial_timeout: float = 3.0
    links: int = 24
    """Members a node dials by its own wish, bootstrap peers apart, when no hub is in sight."""
    links_beside_hub: int = 4
    """The same while a hub is: enough to go on without it, few enough for a large fleet that starts at once."""
    gets: int = 64
    """Blocks served to one peer at the same time; one more is answered "miss"."""
    queue: int = 8 << 20
    """Bytes waiting to be written to one peer; beyond it the peer is dropped."""
    block: int = 32 << 20
    """Largest block accepted from a peer."""
    in_flight: int = 128 << 20
    """Bytes of blocks being received from or sent to all peers together; one peer may be sent a quarter of them."""
    directory: int = 96 << 20
    """Bytes of pointers remembered of all peers together."""
    directory_per_peer: int = 24 << 20
    snapshot: int = 8_192
    """Pointers that a joiner is sent."""
    announce_rate: float = 1 << 20
    """Bytes a second a peer may announce for long. What a hub passes on of all others is half of it."""
    announce_burst: int = 8 << 20
    drop_rate: float = 32 << 10
    """Bytes of invalidations a second from a peer for long."""
    drop_burst: int = 2 << 20
    request_rate: float = 2_000.0
    """Requests (pings, blocks, leases and their ends) a second from a peer for long."""
    request_burst: int = 10_000
    gossip_rate: float = 64 << 10
    """Bytes a second of quotas and of members from a peer for long; what is more is not listened to."""
    gossip_burst: int = 1 << 20
    hub_share: float = 8.0
    """Times as much as from another member that may come from a hub, for what it passes on."""
    drops: int = 4_096
    """Topics whose invalidation is remembered for announcements that are under way."""
    drops_bytes: int = 1 << 20
    """Bytes of invalidations remembered for peers that were cut off."""
    drops_age: float = 3_600.0
    drop_timeout: float = 0.1
    peer_deadline: float = 0.25
    """The longest a caller waits for the first byte of a peer."""
    ping_interval: float = 5.0
    write_timeout: float = 5.0
    lease: float = 10.0
    """The longest one node may ask GitHub on behalf of all."""
    lease_silence: float = 0.8
    """A holder or arbiter that is silent for this long is given up."""
    leases: int = 8_192
    leases_per_peer: int = 1_024
    """Claims of one peer on which others are made to wait, or wait themselves."""
    distrust: float = 60.0
    """Seconds for which no member is made to wait for a peer that held a lease to its end and released nothing."""
    clock_skew: float = 300.0
    known: int = 512
    """Members remembered with their addresses."""
    hub_fetches: int = 8
    hub_backlog: int = 4_096
    hub_keep_rate: float = 1 << 20
    """Bytes a second that a hub keeps of one member's blocks for long."""
    hub_keep_burst: int = 128 << 20


@dataclass(frozen=True, slots=True)
class SwarmConfig:
    """How this node takes part.

    Attributes:
        listen: multiaddr such as ``/ip4/0.0.0.0/tcp/9000``; port 0 takes any free one, and so does a member whose
            wish is taken.
        bootstrap: multiaddrs dialled for ever; ``/p2p/<id>`` may be left out.
        announce: addresses sent to other members; empty, or where the port was lost: derived from what is listened
            on and the interfaces. Members pass on those from which this node has shown itself.
        identity: file of the Ed25519 key, created with mode 0600 when absent; one process at a time has it.
        membership_keys: 32 bytes each; the first proves, all are accepted (rotation).
        hub: keep every block seen and relay between members that cannot dial each other.
        mdns: look for members on the local network.
        token: of a node that a hub granted its keys: the OIDC tokens with which it dials that hub.
        gatekeeper: of a hub that admits by OIDC: what a token proves.
    """

    listen: str
    bootstrap: tuple[str, ...]
    announce: tuple[str, ...]
    identity: Path
    membership_keys: tuple[bytes, ...]
    hub: bool = False
    mdns: bool = False
    token: TokenSource | None = None
    gatekeeper: Gatekeeper | None = None
    limits: Limits = field(default_factory=Limits)


class BlockStore(Protocol):
    """What the swarm reads of the node; on the asyncio side only."""

    async def sealed(self, cid: bytes) -> bytes | None:
        """Return the sealed block this node holds under `cid`, or None."""
        ...

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        """Keep a block a member announced, on a hub. The bytes hash to `pointer.cid`."""
        ...

    def pointers(self) -> Iterable[Pointer]:
        """Give what this node holds now, newest first: the snapshot a joiner is sent."""
        ...


class SwarmEvents(Protocol):
    """What the swarm calls of the node; on the asyncio side only."""

    def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """Forget what a peer invalidated, as far as it was proved `until` then (Unix seconds, infinite: just now)."""
        ...

    def quota(self, scope: bytes, state: bytes) -> None:
        """Take the newest bucket state of a scope that any member saw, sealed by that member."""
        ...

    def warn(self, message: str) -> None:
        """Log one sentence. It never holds bytes a peer chose."""
        ...


class PeerRow(msgspec.Struct, frozen=True):
    """One line of `p2pcache peers`.

    Attributes:
        peer_id: base58 of the libp2p peer id.
        address: multiaddr of the other end, or "" when known through a hub only.
        direction: ``in``, ``out`` or "".
        via: ``direct``, or ``hub`` for a member that is reached through one.
        since: Unix seconds of the connection (or of what `state` names).
        rtt_ms: round trip in milliseconds, None until measured.
        blocks_in, bytes_in, bytes_out: blocks and their bytes received and sent.
        announced: pointers it announced and still stands for.
        state: ``hub``, ``member``, ``slow``, ``relayed``, ``dropped``, ``refused``, or ``unreached`` for a bootstrap
            peer that cannot be dialled at present.
        reason: why it is slow, was dropped, was refused or is unreached; else "".
        repository: on a hub, which repository's job it is, if it was admitted by its OIDC token; else "".
    """

    peer_id: str
    address: str
    direction: str
    via: str
    since: float
    rtt_ms: float | None
    blocks_in: int
    bytes_in: int
    bytes_out: int
    announced: int
    state: str
    reason: str = ""
    repository: str = ""
