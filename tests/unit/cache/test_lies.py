"""What a member who knows the secret says of an answer, and what of it reaches a caller."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from p2pcache.cache import codec
from p2pcache.cache.entry import Block, Pointer
from p2pcache.cache.wanted import ScopePolicy
from tests.unit.cache.lab import Lab, kept

REPO = "/repos/octo/app"
ISSUES = f"{REPO}/issues?per_page=2"
ONE, TWO = "ghp_one", "ghp_two"


async def told(
    lab: Lab, target: str, block: Block | None = None, *, token: str | None = ONE, **changes: object
) -> tuple[Pointer, Block]:
    """A swarm in which a liar repeats an honest node's answer with changes; lab.nodes[-1] is the one to ask."""
    swarm = lab.swarm
    liar = swarm.join()
    honest = lab.node()
    answer = kept(await honest.get(target, token))
    block = block or answer.entry.block
    cid, sealed = codec.seal_block(lab.keyring, block)
    pointer = msgspec.structs.replace(answer.entry.pointer, cid=cid, **changes)
    await liar.tier.store(pointer, sealed)
    lab.node(peer=swarm.join())
    lab.forget()
    return pointer, answer.entry.block


@pytest.mark.parametrize("token", [ONE, TWO], ids=["as the same scope", "as another"])
async def test_a_link_leads_to_the_upstream_alone(lab: Lab, token: str) -> None:
    await told(lab, ISSUES, link='<https://evil.example/repos/octo/app/issues?page=2>; rel="next"')
    answer = kept(await lab.nodes[-1].get(ISSUES, token))
    assert "evil" not in (answer.entry.pointer.link or "")
    assert answer.forwarded == 200


async def test_another_scopes_link_must_follow_from_the_address(lab: Lab) -> None:
    await told(lab, ISSUES, link='<https://api.github.com/repositories/1/issues?per_page=2&page=3>; rel="next"')
    answer = kept(await lab.nodes[-1].get(ISSUES, TWO))
    assert answer.forwarded == 200
    assert "page=2" in (answer.entry.pointer.link or "")


@pytest.mark.parametrize("token", [ONE, TWO], ids=["as the same scope", "as another"])
async def test_verified_believes_nobody_else(lab: Lab, token: str) -> None:
    forged = Block(200, (("content-type", "application/json; charset=utf-8"),), b'{"forged":true}')
    _, honest = await told(lab, REPO, forged)
    verified = lab.node(peer=lab.swarm.join(), verified=True)
    answer = kept(await verified.get(REPO, token))
    assert (answer.forwarded, answer.entry.block) == (200, honest)
    assert kept(await verified.get(REPO, token)).hit == "memory"


async def test_verified_takes_no_tag_for_a_body_that_it_holds_for_another(lab: Lab) -> None:
    """The body is this node's own, and the tag is GitHub's: that they go together is the liar's word alone."""
    file, identity = f"{REPO}/contents/README.md", ScopePolicy(None, None, per_credential=True)
    liar = lab.swarm.join()
    node = lab.node(peer=lab.swarm.join(), verified=True, identity=identity)
    old = kept(await node.get(file, ONE)).entry
    lab.github.edit("octo/app", file="README.md", content="new")
    now = kept(await lab.node(identity=identity).get(file, TWO)).entry
    forged = {"scope": node.wanted(file, TWO).scope, "etag": now.pointer.etag, "proved_at": lab.clock()}
    sealed = codec.seal_block(lab.keyring, old.block)[1]
    await liar.tier.store(msgspec.structs.replace(old.pointer, **forged), sealed)
    assert kept(await node.get(file, TWO)).entry.block == now.block


@pytest.mark.parametrize("where", ["octo/app/issues?per_page=2&page=99", "octo/vault/issues?per_page=2&page=2"])
async def test_verified_takes_no_link_of_its_own_scope_from_anybody(lab: Lab, where: str) -> None:
    await told(lab, ISSUES, link=f'<https://api.github.com/repos/{where}>; rel="next"')
    answer = kept(await lab.node(peer=lab.swarm.join(), verified=True).get(ISSUES, ONE))
    assert "page=2" in (answer.entry.pointer.link or "")
    assert "vault" not in (answer.entry.pointer.link or "")


async def test_verified_takes_no_part_of_a_tag_from_anybody(lab: Lab) -> None:
    """GitHub's tag for an anonymous caller is made of `Accept` and the body: here both are in the forged body."""
    honest = kept(await lab.node().get(REPO)).entry.block
    forged = Block(200, honest.headers, b"application/vnd.github+json:" + honest.body)
    await told(lab, REPO, forged, token=None, etag=None, vary=())
    answer = kept(await lab.node(peer=lab.swarm.join(), verified=True).get(REPO))
    assert answer.entry.block == honest


@pytest.mark.parametrize("verified", [True, False])
async def test_one_proof_does_not_make_hearsay_true(lab: Lab, verified: bool) -> None:
    """GitHub's 304 may leave out what it did not change: the liar's word must not stand in for it from then on."""
    await told(lab, REPO, etag=None, vary=(), last_modified="Fri, 01 Jan 2100 00:00:00 GMT")
    left_out = {"etag", "vary", "last-modified"}
    lab.changed(
        lambda v: (
            dataclasses.replace(v, headers={k: x for k, x in v.headers.items() if k not in left_out})
            if v.status == 304
            else v
        )
    )
    answer = kept(await lab.node(peer=lab.swarm.join(), verified=verified).get(REPO, ONE if verified else TWO))
    assert answer.forwarded == 304
    assert (answer.entry.pointer.vary, answer.entry.pointer.last_modified) == (None, None)


async def test_verified_proves_what_is_true_for_nothing(lab: Lab) -> None:
    await told(lab, REPO)
    verified = lab.node(peer=lab.swarm.join(), verified=True)
    assert kept(await verified.get(REPO, ONE)).hit == "revalidated"
    assert kept(await verified.get(REPO, ONE)).hit == "memory"


@pytest.mark.parametrize(
    "header",
    [("set-cookie", "a=b"), ("location", "https://evil.example"), ("content-type", "text/html\r\nx-evil: 1")],
)
async def test_a_header_that_is_never_kept_is_not_accepted(lab: Lab, header: tuple[str, str]) -> None:
    honest = kept(await lab.node().get(REPO, ONE)).entry.block
    await told(lab, REPO, Block(200, (*honest.headers, header), honest.body))
    answer = kept(await lab.nodes[-1].get(REPO, ONE))
    assert (answer.forwarded, answer.entry.block) == (200, honest)


async def test_a_304_says_it_better(lab: Lab) -> None:
    honest = kept(await lab.node().get(REPO, ONE)).entry.block
    others = dict(honest.headers) | {"x-github-media-type": "a lie"}
    await told(lab, REPO, Block(200, tuple(others.items()), honest.body))
    answer = kept(await lab.nodes[-1].get(REPO, TWO))
    assert (answer.forwarded, answer.entry.block) == (304, honest)
    again = kept(await lab.nodes[-1].get(REPO, TWO))
    assert (again.hit, again.entry.block) == ("memory", honest)


async def test_a_moved_location_is_kept_of_a_redirect_alone(lab: Lab) -> None:
    lab.changed(lambda v: dataclasses.replace(v, headers=v.headers | {"location": "https://api.github.com/x"}))
    answer = kept(await lab.node().get(REPO, ONE))
    assert "location" not in dict(answer.entry.block.headers)
