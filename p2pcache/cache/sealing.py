"""Keys from the swarm's secret: they name resources, scopes and topics by keyed digests, and seal what is at rest.

HKDF-SHA256 (RFC 5869) turns each secret into independent keys: one for membership, which all nodes of a swarm share,
and the others for each upstream server, so that what is named or sealed for one GitHub has no meaning for another.

Sealing is AES-256-GCM-SIV (RFC 8452) and deterministic: the nonce is a keyed digest of the plaintext and of its place,
so equal answers sealed on two machines are one block. The place is associated data: sealed bytes open only as what
they were sealed as. A block has no place, since a CID in a sealed pointer names it and equal answers of two scopes are
one block; the place of a pointer at rest is the row of its name and scope.
"""

from __future__ import annotations

import enum
import hmac
import math
import secrets
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from p2pcache.cache.entry import Digest

_VERSION = b"\x02"
_KEY_ID = 8
_NONCE = 12
_TAG = 16
_HEADER = len(_VERSION) + _KEY_ID
_SHORT_NAME = 16

MOST_SECRETS = 5
"""The most secrets of a keyring: a rotation takes two, and a read's twelve topics have a name under each."""
_ADVICE = "make one with: p2pcache keygen"
_MIN_BITS = 128.0
# Random secrets repeat a little too: of 32 random hex digits about 4 count as predictable.
_MIN_UNPREDICTABLE_BITS = 96.0


class SealError(ValueError):
    """Sealed bytes that this keyring cannot open: truncated, tampered with, or of another swarm."""


class ForgedError(SealError):
    """Bytes under a key of this keyring that it did not seal for this place: damaged, changed, or moved."""


class JobKeys(msgspec.Struct, frozen=True, array_like=True):
    """What a hub derives from its secret for the jobs of one repository (see `job_keys`).

    Attributes:
        secret: of a swarm of their own: it seals, names scopes and proves membership.
        names: names resources and topics. All jobs of the repository have the same, also those of different swarms:
            they can tell what an answer is about, and open and seal none of it.
    """

    secret: Digest
    names: Digest

    def __repr__(self) -> str:
        return "JobKeys(***)"


class SealedKind(enum.Enum):
    """The kinds of sealed bytes."""

    BLOCK = b"block"
    POINTER = b"pointer"
    QUOTA = b"quota"
    BUNDLE = b"bundle"
    PACK = b"pack"


def generate_secret() -> str:
    """Return a new swarm secret: 256 random bits in hex, which need no quotes in a shell, YAML or environment file."""
    return secrets.token_hex(32)


def job_keys(secret: str, owner: str, repository: str, context: str) -> JobKeys:
    """Return what a hub with `secret` grants; from it nothing can be learned of the secret, or of other jobs' keys.

    Args:
        secret: the hub's.
        owner: its id, as digits: a repository that changes hands gets other keys.
        repository: its id, as digits.
        context: "" for trusted jobs, else what these have in common.
    """
    of = f"{owner} {repository}"

    def key(use: str) -> bytes:
        info = f"p2pcache v2 granted {use}".encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.encode())

    return JobKeys(secret=key(f"secret {of} {context}"), names=key(f"names {of}"))


def check_secret(secret: str) -> None:
    """Refuse a secret that cannot plausibly have 128 bits of entropy; long-lived GitHub tokens pass.

    Raises:
        ValueError: its message names the fault, never the secret, and how to make a good one.
    """
    if not secret or not all("!" <= c <= "~" for c in secret):
        raise ValueError(f"the secret must be printable ASCII without spaces; {_ADVICE}")
    if not (any(c.isdigit() for c in secret) and any(c.isalpha() for c in secret)):
        raise ValueError(f"the secret needs letters and digits; {_ADVICE}")
    bits = math.log2(_alphabet(secret))
    if len(secret) * bits < _MIN_BITS:
        raise ValueError(f"the secret is too short; {_ADVICE}")
    if _unpredictable(secret) * bits < _MIN_UNPREDICTABLE_BITS:
        raise ValueError(f"the secret repeats itself; {_ADVICE}")


def _alphabet(secret: str) -> int:
    """Return the size of the alphabet that the secret seems to be drawn from."""
    if set(secret) <= set("0123456789abcdef") or set(secret) <= set("0123456789ABCDEF"):
        return 16
    pools = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    return sum(len(pool) for pool in pools if not set(pool).isdisjoint(secret))


def _unpredictable(secret: str) -> int:
    """Count the characters that neither repeat an earlier triple nor continue a run such as ``aaa`` or ``123``."""
    seen: set[str] = set()
    count = min(len(secret), 2)
    for i in range(2, len(secret)):
        triple = secret[i - 2 : i + 1]
        first, second, third = map(ord, triple)
        if triple not in seen and third - second != second - first:
            count += 1
        seen.add(triple)
    return count


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    """The keys derived from one secret."""

    id: bytes
    cipher: AESGCMSIV
    nonce: bytes
    resource: bytes
    scope: bytes
    topic: bytes
    record: bytes
    membership: bytes

    @classmethod
    def derive(cls, secret: bytes, server: str, names: bytes | None = None) -> _Keys:
        def key(use: str, of: str = server, base: bytes = secret) -> bytes:
            info = f"p2pcache v2 {use} {of}".encode()
            return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(base)

        names = secret if names is None else names

        return cls(
            id=key("key id")[:_KEY_ID],
            cipher=AESGCMSIV(key("seal")),
            nonce=key("nonce"),
            resource=key("resource name", base=names),
            scope=key("scope name"),
            topic=key("topic name", base=names),
            record=key("record signature"),
            membership=key("membership", of=""),
        )


@dataclass(slots=True, repr=False, eq=False)
class Keyring:
    """The keys of one swarm. Make one with `from_secrets` or `ephemeral`.

    Rotation: the first secret seals and names, every secret opens and proves membership. An entry named under an older
    secret is found by each of `resource_names`; its scope does not match the present name, so it counts as another
    scope's entry: served after a proof, never as it is. Topics are named under every secret, both when stored and when
    dropped, so that two nodes with one secret in common understand each other's drops.
    Give every node the new secret in second place, then move it to the first, then remove the old one: a node at one of
    these steps and another one step before or after it are members of one swarm, whichever dials.
    """

    _keys: tuple[_Keys, ...]
    lasting: bool = True
    """Whether another process can have the same keys."""
    _by_id: dict[bytes, _Keys] = field(init=False)

    def __post_init__(self) -> None:
        self._by_id = {keys.id: keys for keys in self._keys}

    @classmethod
    def from_secrets(cls, secrets: Sequence[str], server: str = "") -> Keyring:
        """Return the keyring of all nodes that have the secrets and cache for the same server.

        Args:
            secrets: the first seals.
            server: the API's address in its normal form (see `values.upstream`).

        Raises:
            ValueError: there is no secret, one is too weak (see `check_secret`), or they are too many.
        """
        if not secrets:
            raise ValueError(f"a swarm needs a secret; {_ADVICE}")
        for secret in secrets:
            check_secret(secret)
        distinct = tuple(dict.fromkeys(secrets))
        if len(distinct) > MOST_SECRETS:
            raise ValueError(f"{len(distinct)} secrets are more than a rotation needs: at most {MOST_SECRETS}")
        return cls(tuple(_Keys.derive(secret.encode(), server) for secret in distinct))

    @classmethod
    def from_job_keys(cls, granted: Sequence[JobKeys], server: str = "") -> Keyring:
        """Return the keyring of all nodes that a hub granted the same; the first keys are of its newest secret.

        Raises:
            ValueError: there are no keys, or too many.
        """
        if not 0 < len(granted) <= MOST_SECRETS:
            raise ValueError(f"{len(granted)} sets of keys: expected one to {MOST_SECRETS}")
        return cls(tuple(_Keys.derive(keys.secret, server, keys.names) for keys in dict.fromkeys(granted)))

    @classmethod
    def ephemeral(cls) -> Keyring:
        """Return a keyring of this process alone: what it seals cannot be opened after the process has ended."""
        return cls((_Keys.derive(secrets.token_bytes(32), ""),), lasting=False)

    def replace(self, other: Keyring) -> None:
        """Use the keys of `other` from now on, wherever this keyring is held."""
        self._by_id = other._by_id  # first: what another thread seals in between can be opened
        self._keys = other._keys
        self.lasting = other.lasting

    @property
    def key_id(self) -> bytes:
        """The id of the sealing key, which reveals nothing of the key; 8 bytes."""
        return self._keys[0].id

    @property
    def membership_keys(self) -> tuple[bytes, ...]:
        """The keys that prove membership, the newest first; 32 bytes each."""
        return tuple(keys.membership for keys in self._keys)

    def resource_name(self, canonical: bytes) -> bytes:
        """Return the name of a resource in every store and frame; 32 bytes."""
        return hmac.digest(self._keys[0].resource, canonical, "sha256")

    def resource_names(self, canonical: bytes) -> tuple[bytes, ...]:
        """Return all names the resource may be stored under while secrets rotate; the first is `resource_name`."""
        return tuple(hmac.digest(keys.resource, canonical, "sha256") for keys in self._keys)

    def record_seeds(self, name: bytes) -> tuple[bytes, ...]:
        """Return seeds of Ed25519 keys that sign what is published of a resource (its 32-byte name), 32 bytes each.

        There is one for each secret, the first secret's first, which signs.
        """
        return tuple(hmac.digest(keys.record, name, "sha256") for keys in self._keys)

    def scope_name(self, scope: str) -> bytes:
        """Return the name of a scope; 16 bytes."""
        return hmac.digest(self._keys[0].scope, scope.encode(), "sha256")[:_SHORT_NAME]

    def topic_name(self, topic: str) -> bytes:
        """Return the name of a topic; 16 bytes."""
        return self.topic_names((topic,))[0]

    def topic_names(self, topics: Iterable[str]) -> tuple[bytes, ...]:
        """Return the names of topics under every secret, 16 bytes each; those under the first come first."""
        encoded = [topic.encode() for topic in topics]
        return tuple(hmac.digest(keys.topic, t, "sha256")[:_SHORT_NAME] for keys in self._keys for t in encoded)

    def seal(self, plaintext: bytes, kind: SealedKind, *place: bytes) -> bytes:
        """Return version (1 byte), key id (8), nonce (12), ciphertext and tag.

        The first two are authenticated too, and so are `kind` and `place`, which are not in the result: `open` takes
        them as arguments.
        """
        keys = self._keys[0]
        header = _VERSION + keys.id
        bound = _bound(header, kind, place)
        digest = hmac.new(keys.nonce, bound, "sha256")
        digest.update(plaintext)
        nonce = digest.digest()[:_NONCE]
        return b"".join((header, nonce, keys.cipher.encrypt(nonce, plaintext, bound)))

    def sealed_first(self, sealed: bytes) -> bool:
        """Return whether the first secret sealed this, as `seal` would do now."""
        return sealed[len(_VERSION) : _HEADER] == self.key_id

    def each(self) -> Iterator[Keyring]:
        """Give a keyring for each secret alone, the first secret's first."""
        return (Keyring((keys,), self.lasting) for keys in self._keys)

    def open(self, sealed: bytes, kind: SealedKind, *place: bytes) -> bytes:
        """Return the plaintext of what was sealed as `kind`, for `place`.

        Raises:
            SealError: truncated, or of an unknown version or key.
            ForgedError: not the bytes that were sealed, or sealed as something else or for another place.
        """
        if len(sealed) < _HEADER + _NONCE + _TAG:
            raise SealError("the sealed bytes are truncated")
        if not sealed.startswith(_VERSION):
            raise SealError(f"sealed in version {sealed[0]}, this node reads version {_VERSION[0]}")
        header, nonce = sealed[:_HEADER], sealed[_HEADER : _HEADER + _NONCE]
        keys = self._by_id.get(header[len(_VERSION) :])
        if keys is None:
            raise SealError("sealed with a secret this node does not have")
        try:
            return keys.cipher.decrypt(nonce, sealed[_HEADER + _NONCE :], _bound(header, kind, place))
        except InvalidTag:
            raise ForgedError("the sealed bytes were changed, or belong elsewhere") from None


def _bound(header: bytes, kind: SealedKind, place: Sequence[bytes]) -> bytes:
    """Return the associated data; none is a prefix of another, so a digest over it and a plaintext is of one pair."""
    parts = (kind.value, *place)
    return header + bytes((len(parts),)) + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
