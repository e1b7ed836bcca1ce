"""Which tokens prove what: the attacks by name, and the policy."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github.oidc import (
    LEEWAY,
    AdmissionList,
    IssuerError,
    JobIdentity,
    Replays,
    TokenError,
    UnknownKeyError,
    UnlistedError,
    configuration_url,
    key_set,
    keys_url,
    verify,
)
from tests.support import oidc

NOW = 1_800_000_000.0
AUDIENCE = "p2pcache:12D3KooHub:12D3KooRunner"
ADMITTED = AdmissionList(oidc.ISSUER, frozenset({"1001"}), frozenset())
KEYS = key_set(oidc.key_document("one", "two"))


def made(**changes: Any) -> str:
    return oidc.token(changes.pop("audience", AUDIENCE), now=NOW, **changes)


def checked(token: str, admitted: AdmissionList = ADMITTED, now: float = NOW) -> JobIdentity:
    return verify(token, KEYS, AUDIENCE, admitted, now)


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def rewritten(token: str, header: dict[str, object], sign: Callable[[bytes], bytes] | None = None) -> str:
    """The token with another header, signed by `sign` or not at all."""
    message = f"{encoded(json.dumps(header).encode())}.{token.split('.')[1]}"
    return f"{message}.{encoded(sign(message.encode())) if sign else ''}"


def tampered(token: str) -> str:
    head, body, signature = token.split(".")
    claims = base64.urlsafe_b64decode(body + "==").replace(b'"1001"', b'"1002"')
    return f"{head}.{encoded(claims)}.{signature}"


def by_public_key(message: bytes) -> bytes:
    pem = (
        oidc.key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return hmac.digest(pem, message, hashlib.sha256)


def twice(claim: str, value: object) -> str:
    """A genuine signature over claims of which one stands there twice, the first time with another value."""
    body = json.dumps(oidc.claims(AUDIENCE, now=NOW)).replace("{", f'{{"{claim}": {json.dumps(value)}, ', 1)
    payload = body.encode()
    return jwt.PyJWS().encode(payload, oidc.key(), algorithm="RS256", headers={"kid": "one"})


ATTACKS: dict[str, Callable[[], str]] = {
    "another key under a known kid": lambda: made(signed_by="evil", header={"kid": "one"}),
    "an unknown kid": lambda: made(signed_by="evil"),
    "no kid": lambda: made(header={"kid": None}),
    "an empty kid": lambda: made(header={"kid": ""}),
    "alg none": lambda: rewritten(made(), {"alg": "none", "kid": "one"}),
    "alg None in other letters": lambda: rewritten(made(), {"alg": "nOnE", "kid": "one"}),
    "HS256 with the public key": lambda: rewritten(made(), {"alg": "HS256", "kid": "one"}, by_public_key),
    "RS512 by the right key": lambda: made(algorithm="RS512"),
    "PS256 by the right key": lambda: made(algorithm="PS256"),
    "a critical header": lambda: made(header={"crit": ["x"], "x": 1}),
    "keys named by jku": lambda: made(signed_by="evil", header={"kid": "one", "jku": "https://evil.example/keys"}),
    "its own key as jwk": lambda: made(signed_by="evil", header={"kid": "one", "jwk": oidc.jwk("evil")}),
    "no signature": lambda: made().rpartition(".")[0] + ".",
    "another repository written over": lambda: tampered(made()),
    "expired": lambda: made(exp=int(NOW - LEEWAY)),
    "not yet valid": lambda: made(nbf=int(NOW + 600)),
    "issued in the future": lambda: made(iat=int(NOW + 600)),
    "valid for years": lambda: made(exp=int(NOW + 100_000_000)),
    "an endless lifetime": lambda: made(exp=float("inf")),
    "another audience": lambda: made(audience="https://github.com/octo"),
    "the audience of another hub": lambda: made(audience="p2pcache:12D3KooOther:12D3KooRunner"),
    "the audience of another node": lambda: made(audience="p2pcache:12D3KooHub:12D3KooThief"),
    "a list of audiences": lambda: made(audience=[AUDIENCE, "x"]),
    "a list of this audience": lambda: made(audience=[AUDIENCE]),
    "another issuer": lambda: made(issuer="https://evil.example"),
    "an enterprise's issuer": lambda: made(issuer=f"{oidc.ISSUER}/octo"),
    "a list of issuers": lambda: made(issuer=[oidc.ISSUER]),
    "an id that is a number": lambda: made(repository_id=1001),
    "an id with a line after it": lambda: made(repository_id="1001\n"),
    "an id in other digits": lambda: made(repository_id="\u0661\u0660\u0660\u0661"),  # noqa: PLE2515, RUF100
    "an event that is no name": lambda: made(event_name="push x"),
    "a long jti": lambda: made(jti="j" * 129),
    "no token": lambda: "xyzzy.q9.w8",
    "two parts": lambda: made().rpartition(".")[0],
    "nothing": lambda: "",
    "not ASCII": lambda: "ä.ö.ü",
    "claims that are no object": lambda: jwt.PyJWS().encode(b"[]", oidc.key(), algorithm="RS256"),
    **{
        f"no {claim}": lambda claim=claim: made(**{claim: None})  # type: ignore[misc]
        for claim in ("exp", "iat", "nbf", "jti", "repository_id", "repository_owner_id", "event_name", "ref")
    },
    "no aud": lambda: oidc.token(None, now=NOW),
    "no iss": lambda: made(issuer=None),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused_with_a_sentence_that_shows_nothing_of_it(attack: Callable[[], str]) -> None:
    token = attack()
    with pytest.raises(TokenError) as refused:
        checked(token)
    assert not isinstance(refused.value, UnlistedError)
    shown = str(refused.value)
    assert shown
    assert not any(part in shown for part in ("evil", "octo", "1001", "12D3", *filter(None, token.split("."))))


def test_an_unknown_key_is_told_apart_so_that_newer_ones_can_be_fetched() -> None:
    with pytest.raises(UnknownKeyError):
        checked(made(signed_by="evil"))


def test_what_a_genuine_token_proves() -> None:
    job = checked(made(jti="abc", signed_by="two"))
    assert job == JobIdentity("1001", "77", "octo/app", True, "", "abc", NOW + 300 + LEEWAY)


def test_a_claim_that_stands_there_twice_has_one_meaning() -> None:
    """It takes the issuer's key to make one; its last value counts everywhere."""
    assert checked(twice("repository_id", "9")).repository == "1001"


@pytest.mark.parametrize("seconds", [-(300 + LEEWAY - 1), LEEWAY])
def test_clocks_may_differ_a_little(seconds: float) -> None:
    assert checked(made(nbf=int(NOW), iat=int(NOW)), now=NOW - seconds).trusted


def test_sub_and_names_count_for_nothing() -> None:
    other = {"sub": "repo:evil/app:ref:refs/heads/main", "repository": "evil/app", "repository_owner": "evil"}
    assert checked(made(**other)).repository == "1001"
    with pytest.raises(UnlistedError):
        checked(made(repository_id="1002"))


def test_the_list_is_of_repositories_and_of_owners_and_the_refusal_names_what_to_add() -> None:
    by_owner = AdmissionList(oidc.ISSUER, frozenset(), frozenset({"77"}))
    assert checked(made(repository_id="4"), by_owner).repository == "4"
    nobody = AdmissionList(oidc.ISSUER, frozenset(), frozenset())
    for admitted in (nobody, AdmissionList(oidc.ISSUER, frozenset({"77"}), frozenset({"1001"}))):
        with pytest.raises(UnlistedError, match=r"repository 1001 of owner 77 .* CACHE_OIDC_REPOSITORIES"):
            checked(made(), admitted)
    assert by_owner
    assert not nobody


TRUSTED = ["push", "schedule", "workflow_dispatch", "repository_dispatch", "release"]
OTHERS = [
    *("pull_request", "pull_request_target", "pull_request_review", "workflow_run", "issue_comment", "issues"),
    *("discussion", "fork", "watch", "merge_group", "dynamic", "an_event_of_tomorrow", "deployment", "create"),
]


@pytest.mark.parametrize(("event", "trusted"), [*((e, True) for e in TRUSTED), *((e, False) for e in OTHERS)])
def test_events_are_trusted_by_name_and_no_other_is(event: str, trusted: bool) -> None:
    job = checked(made(event_name=event, ref="refs/pull/7/merge"))
    assert job.trusted is trusted
    assert job.context == ("" if trusted else f"{event} refs/pull/7/merge")


@pytest.mark.parametrize("actor", ["49699333", None])
def test_a_push_of_dependabot_or_of_nobody_is_not_trusted(actor: str | None) -> None:
    assert checked(made(actor_id=actor)).context == "push refs/heads/main"


@pytest.mark.parametrize(
    "issuer",
    [
        oidc.ISSUER,
        f"{oidc.ISSUER}/octo-enterprise",
        "https://token.actions.octo.ghe.com",
        "https://github.octo.example/_services/token",
        "https://github.octo.example:8443/_services/token",
    ],
)
def test_the_issuers_of_every_github(issuer: str) -> None:
    admitted = AdmissionList(issuer, frozenset({"1001"}), frozenset())
    assert checked(made(issuer=issuer), admitted).trusted
    assert configuration_url(issuer) == f"{issuer}/.well-known/openid-configuration"
    assert keys_url(issuer, oidc.configuration(issuer)) == f"{issuer}/.well-known/jwks"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"issuer": "https://token.actions.githubusercontent.com"}',
        oidc.configuration("https://evil.example"),
        *(
            oidc.configuration(jwks_uri=uri)
            for uri in (
                "https://evil.example/jwks",
                "http://token.actions.githubusercontent.com/jwks",
                "https://token.actions.githubusercontent.com:444/jwks",
                "https://token.actions.githubusercontent.com.evil.example/jwks",
                "https://token.actions.githubusercontent.com@evil.example/jwks",
                "https://user@token.actions.githubusercontent.com/jwks",
                "https://token.actions.githubusercontent.com/jwks?at=evil",
                "https://token.actions.githubusercontent.com/jwks#x",
                "https://token.actions.githubusercontent.com:x/jwks",
                "https://[/jwks",
                "file:///etc/passwd",
                "",
            )
        ),
    ],
)
def test_keys_are_on_the_issuers_own_host(document: bytes) -> None:
    with pytest.raises(IssuerError):
        keys_url(oidc.ISSUER, document)


@pytest.mark.parametrize(
    "bad",
    [
        {"kty": "EC"},
        {"use": "enc"},
        {"alg": "RS512"},
        {"kid": ""},
        {"kid": 7},
        {"n": "AQAB"},
        {"n": "!"},
        {"n": None},
        {"e": None},
    ],
)
def test_keys_that_cannot_sign_are_passed_over(bad: dict[str, Any]) -> None:
    keys = key_set(json.dumps({"keys": [oidc.jwk("two", **bad), oidc.jwk()]}).encode())
    assert list(keys) == ["one"]
    with pytest.raises(IssuerError):
        key_set(json.dumps({"keys": [oidc.jwk("two", **bad)]}).encode())


def test_a_short_key_is_passed_over() -> None:
    with pytest.raises(IssuerError):
        key_set(json.dumps({"keys": [oidc.jwk("short", bits=1024)]}).encode())


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"keys": []}', b'{"keys": [1]}', b'{"keys": {}}'])
def test_what_is_no_key_set(document: bytes) -> None:
    with pytest.raises(IssuerError):
        key_set(document)


def test_more_keys_than_an_issuer_has_are_refused() -> None:
    with pytest.raises(IssuerError):
        key_set(json.dumps({"keys": [oidc.jwk(kid=str(n)) for n in range(33)]}).encode())


def test_a_token_is_accepted_once() -> None:
    replays = Replays(10)
    replays.accept("a", 400.0, 100.0)
    for now in (100.0, 399.0):
        with pytest.raises(TokenError, match="before"):
            replays.accept("a", 400.0, now)
    replays.accept("b", 400.0, 100.0)


def test_what_is_remembered_is_bounded_and_never_forgotten_while_it_counts() -> None:
    replays = Replays(2)
    replays.accept("a", 400.0, 100.0)
    replays.accept("b", 300.0, 100.0)
    with pytest.raises(TokenError, match="too many"):
        replays.accept("c", 500.0, 200.0)
    with pytest.raises(TokenError, match="before"):
        replays.accept("a", 400.0, 200.0)
    replays.accept("c", 500.0, 350.0)
    assert len(replays) == 2


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20), st.integers(0, 5)), max_size=60))
def test_whatever_comes_no_token_is_accepted_twice_in_its_life(events: list[tuple[str, int, int]]) -> None:
    replays, used, now = Replays(4), dict[str, float](), 0.0
    for name, life, pause in events:
        now += pause
        try:
            replays.accept(name, now + life, now)
        except TokenError:
            continue
        assert used.get(name, 0.0) <= now
        used[name] = now + life
        assert len(replays) <= 4


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda data: f"{encoded(data)}.{encoded(data)}.x"))
def test_anything_else_is_refused_and_raises_nothing_else(token: str) -> None:
    with pytest.raises(TokenError):
        checked(token)
