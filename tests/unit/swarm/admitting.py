"""A hub that admits by tokens which say in clear what they prove: what a real one proves is tried elsewhere."""

from __future__ import annotations

from p2pcache.cache.sealing import JobKeys, Keyring, job_keys
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.reasons import Ended, Reason

SECRET = "a hub's own"
SCOPE = b"s" * 16


def place(repository: str, context: str = "", *secrets: str) -> Admitted:
    """What a job of a repository gets; with a context, one that is not trusted."""
    keys = tuple(job_keys(secret, "77", repository, context) for secret in secrets or (SECRET,))
    reads = place(repository) if context else None
    return Admitted(
        f"{repository} {context}", f"job of {repository}", keys, Keyring.from_job_keys(keys), frozenset((SCOPE,)), reads
    )


def membership_key(keys: tuple[JobKeys, ...]) -> bytes:
    return Keyring.from_job_keys(keys).membership_keys[0]


async def gatekeeper(token: str, hub: str, peer: str) -> Admitted:
    """Admit by ``REPOSITORY HUB PEER CONTEXT``."""
    repository, meant, own, context = token.split(" ", 3)
    if (meant, own) != (hub, peer):
        raise Ended(Reason.TOKEN, detail="it was made for another hub or by another node")
    return place(repository, context)


def token(repository: str, hub: str, peer: str, context: str = "") -> str:
    return f"{repository} {hub} {peer} {context}"
