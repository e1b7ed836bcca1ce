"""OIDC tokens at a hub's door, over the real transport: each is for one connection, once; strangers learn nothing."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from p2pcache.addresses import Address
from p2pcache.cache.sealing import JobKeys, generate_secret
from p2pcache.github.oidc import AdmissionList
from p2pcache.hub.issuer_keys import IssuerKeys
from p2pcache.hub.job_admission import JobAdmission
from p2pcache.swarm import Limits, SwarmConfig, SwarmError
from p2pcache.swarm.enrolment import enrol
from p2pcache.swarm.rules.identity import Identity
from p2pcache.swarm.services.link import Host
from p2pcache.swarm.swarm import libp2p
from p2pcache.values import Secret
from tests.support import oidc
from tests.support.swarms import Honest

REFUSED = "it does not accept this job's OIDC token"
ME, THIEF = Identity(b"m" * 32), Identity(b"t" * 32)


class Issuer:
    def __init__(self) -> None:
        self.asked = 0

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        return oidc.configuration() if url.endswith("configuration") else oidc.key_document("one")


@asynccontextmanager
async def running(directory: Path, name: str, issuer: Issuer | None) -> AsyncIterator[Honest]:
    """A hub that admits one repository by tokens of `issuer`, or nobody."""
    gatekeeper = None
    if issuer is not None:
        listed = AdmissionList(oidc.ISSUER, frozenset({"1001"}), frozenset())
        keys = IssuerKeys(oidc.ISSUER, lambda: 0.0, issuer.fetch)
        gatekeeper = JobAdmission(listed, keys, [Secret(generate_secret())], "https://api.github.com").admit
    made = Honest(
        SwarmConfig("/ip4/127.0.0.1/tcp/0", (), (), directory / name, (b"k" * 32,), hub=True, gatekeeper=gatekeeper)
    )
    await made.swarm.start()
    yield made
    await made.swarm.stop()


async def ask(hub: Honest, token: str, me: Identity = ME) -> tuple[JobKeys, ...]:
    """Present a token, from a peer whose key is known."""

    def host(seed: bytes, listen: Address, limits: Limits) -> Host:
        return libp2p(me.seed, listen, limits)

    async def given(at: str, peer: str) -> str:
        assert (at, peer) == (hub.peer, me.peer)
        return token

    return await enrol([hub.address], given, host=host)


async def refused(hub: Honest, token: str, me: Identity = ME) -> str:
    with pytest.raises(SwarmError) as caught:
        await ask(hub, token, me)
    return str(caught.value)


def meant(hub: Honest, me: Identity = ME) -> str:
    return f"p2pcache:{hub.peer}:{me.peer}"


async def test_a_token_that_was_used_or_stolen_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, "hub", Issuer()) as hub, running(tmp_path, "other", Issuer()) as other:
        token = oidc.token(meant(hub))
        assert len(await ask(hub, token)) == 1
        assert REFUSED in await refused(hub, token)
        fresh = oidc.token(meant(hub))
        assert REFUSED in await refused(hub, fresh, THIEF)
        assert REFUSED in await refused(other, fresh)
        assert len(await ask(hub, fresh)) == 1


async def test_a_refusal_is_one_sentence_whatever_is_wrong_and_a_hub_without_a_list_gives_the_same(
    tmp_path: Path,
) -> None:
    issuer = Issuer()
    async with running(tmp_path, "hub", issuer) as hub, running(tmp_path, "closed", None) as closed:
        tokens = [
            "nonsense",
            "x" * 8_192,
            oidc.token(meant(hub), exp=1),
            oidc.token(meant(hub), signed_by="evil", header={"kid": "one"}),
            oidc.token(meant(hub), repository_id=None),
        ]
        sentences = {(await refused(hub, token)).partition(": ")[2] for token in tokens}
        sentences.add((await refused(closed, oidc.token(meant(closed)))).partition(": ")[2])
        assert sentences == {f"{REFUSED}: its log has the reason"}
        assert "not on its list" in await refused(hub, oidc.token(meant(hub), repository_id="666"))


async def test_strangers_cannot_have_the_issuer_asked_at_will(tmp_path: Path) -> None:
    issuer = Issuer()
    async with running(tmp_path, "hub", issuer) as hub:
        await refused(hub, oidc.token("p2pcache:another:one", signed_by="evil"))
        assert issuer.asked == 0
        for _ in range(10):
            await refused(hub, oidc.token(meant(hub), signed_by="evil"))
        assert issuer.asked == 2


async def test_ids_are_what_counts(tmp_path: Path) -> None:
    names: dict[str, Any] = {
        "sub": "repo:octo/app:ref:refs/heads/main",
        "repository": "octo/app",
        "repository_owner": "octo",
    }
    async with running(tmp_path, "hub", Issuer()) as hub:
        for repository, owner in itertools.product(["1002", "01001", "1001 "], ["77", "1001"]):
            token = oidc.token(meant(hub), repository_id=repository, repository_owner_id=owner, **names)
            with pytest.raises(SwarmError):
                await ask(hub, token)
