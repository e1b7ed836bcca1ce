"""What a hub makes of a job's token: its room, its keys, or a sentence."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from p2pcache.cache.sealing import Keyring, generate_secret
from p2pcache.github.id_token import audience
from p2pcache.github.oidc import AdmissionList
from p2pcache.hub.issuer_keys import IssuerKeys
from p2pcache.hub.job_admission import JobAdmission, job_admission
from p2pcache.settings import Settings
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.values import Secret
from tests.support import oidc

HUB, JOB = "12D3KooHub", "12D3KooJob"
SECRET, OLDER = generate_secret(), generate_secret()
UPSTREAM = "https://api.github.com"


class Issuer:
    def __init__(self) -> None:
        self.asked = 0
        self.names = ["one"]
        self.now = 0.0

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        return oidc.configuration() if url.endswith("configuration") else oidc.key_document(*self.names)


def admission(issuer: Issuer, *secrets: str, repositories: str = "1001 1002") -> JobAdmission:
    admitted = AdmissionList(oidc.ISSUER, frozenset(repositories.split()), frozenset())
    keys = IssuerKeys(oidc.ISSUER, lambda: issuer.now, issuer.fetch)
    return JobAdmission(admitted, keys, [Secret(secret) for secret in secrets or (SECRET,)], UPSTREAM)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def made(**changes: Any) -> str:
    return oidc.token(changes.pop("aud", audience(HUB, JOB)), **changes)


async def admitted(it: JobAdmission, **changes: object) -> Admitted:
    return await it.admit(made(**changes), HUB, JOB)


async def refused(asked: Awaitable[Admitted]) -> Ended:
    with pytest.raises(Ended) as ended:
        await asked
    return ended.value


async def test_jobs_of_one_repository_get_the_same_keys_and_no_others_do(issuer: Issuer) -> None:
    it = admission(issuer)
    one, two = await admitted(it), await admitted(it, event_name="schedule", ref="refs/heads/other")
    assert (one.room, one.keys, one.label, one.reads) == (two.room, two.keys, "1001", None)
    others = [
        await admitted(it, repository_id="1002"),
        await admitted(it, repository_owner_id="78"),
        await admitted(it, event_name="pull_request", ref="refs/pull/1/merge"),
        await admitted(it, event_name="pull_request", ref="refs/pull/2/merge"),
        await admitted(it, event_name="workflow_run"),
        await admitted(admission(issuer, OLDER)),
    ]
    assert len({each.keys[0].secret for each in (one, *others)}) == 7
    assert len({each.membership_keys for each in (one, *others)}) == 7
    assert len({each.room for each in (one, *others[:5])}) == 6
    same, foreign = others[2:5], [others[0], others[1], others[5]]
    assert {each.keys[0].names for each in same} == {one.keys[0].names}
    assert len({each.keys[0].names for each in (one, *foreign)}) == 4


async def test_what_is_not_trusted_reads_the_room_of_what_is(issuer: Issuer) -> None:
    it = admission(issuer)
    main = await admitted(it)
    pull = await admitted(it, event_name="pull_request", ref="refs/pull/1/merge")
    assert pull.reads is not None
    assert (pull.reads.room, pull.reads.keys, pull.label) == (main.room, main.keys, "1001 (pull_request, reads only)")
    assert Keyring.from_job_keys(main.keys, UPSTREAM).scope_name("actions:octo/app") in pull.reads.shared
    assert not set(pull.membership_keys) & set(main.membership_keys)
    for kind in ("resource_name", "topic_name"):
        text = "x" if kind == "topic_name" else b"x"
        assert getattr(pull.keyring, kind)(text) == getattr(main.keyring, kind)(text)
    assert pull.keyring.scope_name("x") != main.keyring.scope_name("x")


async def test_while_the_hubs_secret_is_rotated_members_of_both_meet(issuer: Issuer) -> None:
    before = await admitted(admission(issuer, OLDER))
    both = await admitted(admission(issuer, SECRET, OLDER))
    after = await admitted(admission(issuer, SECRET))
    assert both.keys == (*after.keys, *before.keys)
    assert both.membership_keys == (*after.membership_keys, *before.membership_keys)
    assert before.room == both.room == after.room


async def test_a_hub_that_rereads_its_secret_grants_keys_of_it(issuer: Issuer) -> None:
    it = admission(issuer, OLDER)
    before = await admitted(it)
    it.rotate((Secret(SECRET), Secret(OLDER)))
    after = await admitted(it)
    assert (after.room, after.keys[1]) == (before.room, before.keys[0])
    assert after.keys[0] == (await admitted(admission(issuer, SECRET))).keys[0]


async def test_a_refusal_names_the_reason_to_the_operator(issuer: Issuer) -> None:
    it = admission(issuer, repositories="5")
    ended = await refused(admitted(it))
    assert ended.reason is Reason.UNLISTED
    assert str(ended).startswith("its OIDC token is not accepted: repository 1001 of owner 77 is not on the list")
    ended = await refused(it.admit("nonsense", HUB, JOB))
    assert (ended.reason, str(ended)) == (
        Reason.TOKEN,
        "its OIDC token is not accepted: it is no token of an OIDC issuer",
    )


@pytest.mark.parametrize("peers", [(HUB, "12D3KooThief"), ("12D3KooOther", JOB), (JOB, HUB)])
async def test_a_token_is_for_one_hub_and_one_peer(issuer: Issuer, peers: tuple[str, str]) -> None:
    ended = await refused(admission(issuer).admit(made(), *peers))
    assert (ended.reason, issuer.asked) == (Reason.TOKEN, 0)


async def test_a_token_is_accepted_once(issuer: Issuer) -> None:
    it, token = admission(issuer), made()
    await it.admit(token, HUB, JOB)
    assert "presented before" in str(await refused(it.admit(token, HUB, JOB)))


STRANGE: dict[str, Callable[[], str]] = {
    "nonsense": lambda: "a.b.c",
    "for another hub": lambda: made(aud="p2pcache:12D3KooOther:12D3KooJob"),
    "of another issuer": lambda: made(issuer="https://evil.example"),
    "not RS256": lambda: made(algorithm="RS512"),
}


@pytest.mark.parametrize("token", STRANGE.values(), ids=STRANGE)
async def test_what_cannot_be_accepted_asks_the_issuer_for_nothing(issuer: Issuer, token: Callable[[], str]) -> None:
    await refused(admission(issuer).admit(token(), HUB, JOB))
    assert issuer.asked == 0


async def test_an_unknown_key_is_looked_for_once_in_a_while(issuer: Issuer) -> None:
    it = admission(issuer)
    assert await it.open() == ""
    assert issuer.asked == 2
    for _ in range(20):
        assert "a key that the issuer does not publish" in str(await refused(admitted(it, signed_by="two")))
    assert issuer.asked == 2
    issuer.names.append("two")
    issuer.now += 30
    assert (await admitted(it, signed_by="two")).label == "1001"
    assert issuer.asked == 4
    await it.close()


async def test_an_issuer_that_is_down_is_named(issuer: Issuer) -> None:
    issuer.names.clear()
    it = admission(issuer)
    assert await it.open() == f"the OIDC issuer {oidc.ISSUER} gives no keys: it publishes no key for RS256"
    assert "gives no keys" in str(await refused(admitted(it)))


async def test_what_expired_is_refused_by_the_clock_that_is_given(issuer: Issuer) -> None:
    keys = IssuerKeys(oidc.ISSUER, time.monotonic, issuer.fetch)
    listed = AdmissionList(oidc.ISSUER, frozenset({"1001"}), frozenset())
    later = JobAdmission(listed, keys, [Secret(SECRET)], UPSTREAM, lambda: time.time() + 400)
    assert "expired" in str(await refused(admitted(later)))


async def test_it_is_made_of_the_settings() -> None:
    it = job_admission(Settings(oidc_owners=("77",), secrets=(Secret(SECRET),), hub=True))
    assert (await refused(it.admit("a.b.c", HUB, JOB))).reason is Reason.TOKEN
    await it.close()
