import base64
import json
from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest

from p2pcache.gateway.control import Access, ControlPlane, Endpoint, Gate, chosen_token
from p2pcache.gateway.endpoints import NodeEndpoints
from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.settings import Settings, SettingsError
from p2pcache.values import Secret

STRONG = "6c0n7r01Zq8Vw2Tm5Xk9Yb4Hd7Js3Lf1"
HERE, FAR = ("127.0.0.1", 1), ("10.0.0.9", 1)
OWN = (b"host", b"127.0.0.1:8080")


class Asked:
    """One control request and what came of it."""

    def __init__(self, token: str | None = None, health: Sequence[str] = ()) -> None:
        self.purged: list[str | None] = []
        self.authorized: list[tuple[str, Secret]] = []
        self.uses_actions = True
        self.sent: list[MutableMapping[str, Any]] = []
        gate = Gate(token)
        endpoints = NodeEndpoints(
            gate=gate,
            stats=lambda: {"requests": 1, "hits": {}},
            peers=lambda: [{"peer_id": "x"}],
            purge=self.purge,
            bases=("https://api.github.com",),
            authorize=self.authorize,
            health=lambda: list(health),
        )
        more = Endpoint("files", ("GET",), Access.READ, lambda exchange: exchange.reply(200, b"{}"), below=True)
        self.plane = ControlPlane(gate, (*endpoints.all(), more))

    async def purge(self, target: str | None) -> None:
        self.purged.append(target)

    async def authorize(self, results_url: str, token: Secret) -> bool:
        if not results_url.startswith("https://"):
            raise ValueError(f"no good: {results_url} {token.reveal()}")
        self.authorized.append((results_url, token))
        return self.uses_actions

    async def __call__(
        self,
        path: str,
        method: str = "GET",
        client: tuple[str, int] | None = HERE,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        own: bool = False,
    ) -> tuple[int, bytes]:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            self.sent.append(message)

        scope = {
            "method": method,
            "raw_path": b"/-/" + path.encode(),
            "query_string": b"",
            "headers": [OWN, (b"content-length", b"%d" % len(body)), *headers],
            "client": client,
            "http_version": "1.1",
            "extensions": {"own_user": lambda: own},
        }
        await self.plane.answer(Exchange(scope, receive, send), path)
        return self.sent[0]["status"], self.sent[1]["body"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("healthz", {"status": "ok"}),
        ("stats", {"requests": 1, "hits": {}}),
        ("stats?pretty", {"requests": 1, "hits": {}}),
        ("peers", [{"peer_id": "x"}]),
        ("files", {}),
        ("files/a/b?c", {}),
    ],
)
@pytest.mark.parametrize("client", [HERE, None, ("::1", 1), ("::ffff:127.0.0.1", 1), ("127.9.9.9", 1)])
async def test_this_machine_is_answered(path: str, said: object, client: tuple[str, int] | None) -> None:
    status, body = await Asked()(path, client=client)
    assert (status, json.loads(body)) == (200, said)


@pytest.mark.parametrize(
    ("body", "forgotten"),
    [
        (b'{"all": true}', None),
        (b'{"url": "/repos/o/r"}', "/repos/o/r"),
        (b'{"url": "https://api.github.com/repos/o/r?x=1"}', "/repos/o/r?x=1"),
    ],
)
async def test_purge(body: bytes, forgotten: str | None) -> None:
    asked = Asked()
    assert (await asked("purge", "POST", body=body, own=True))[0] == 200
    assert asked.purged == [forgotten]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"{}", id="neither"),
        pytest.param(b'{"all": true, "url": "/x"}', id="both"),
        pytest.param(b'{"al": true}', id="a misspelt field"),
        pytest.param(b'{"url": "https://evil.example/"}', id="another host"),
        pytest.param(b'{"url": 5}', id="no text"),
        pytest.param(b" " * 70_000, id="too much"),
    ],
)
async def test_a_purge_that_says_nothing_usable(body: bytes) -> None:
    asked = Asked()
    with pytest.raises(BadRequest) as refused:
        await asked("purge", "POST", body=body, own=True)
    assert refused.value.status == 400
    assert not asked.purged


CREDENTIALS = b'{"results_url": "https://results.example/", "token": "the-token"}'


@pytest.mark.parametrize(("uses", "status"), [(True, "used"), (False, "unused")])
async def test_credentials_of_the_actions_cache_reach_the_tiers(uses: bool, status: str) -> None:
    asked = Asked()
    asked.uses_actions = uses
    answered, body = await asked("actions", "POST", body=CREDENTIALS, own=True)
    assert (answered, json.loads(body)) == (200, {"status": status})
    assert asked.authorized == [("https://results.example/", Secret("the-token"))]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b'{"results_url": "https://results.example/"}', id="no token"),
        pytest.param(b'{"results_url": "https://results.example/", "token": 5}', id="no text"),
        pytest.param(CREDENTIALS[:-1] + b', "scope": "x"}', id="more than that"),
        pytest.param(CREDENTIALS.replace(b"https", b"http"), id="a URL that cannot be used"),
        pytest.param(CREDENTIALS + b" " * 70_000, id="too much"),
    ],
)
async def test_credentials_that_cannot_be_used_are_refused_and_not_shown(body: bytes) -> None:
    asked = Asked()
    with pytest.raises(BadRequest) as refused:
        await asked("actions", "POST", body=body, own=True)
    assert refused.value.status == 400
    assert "the-token" not in str(refused.value)
    assert "results.example" not in str(refused.value)
    assert not asked.authorized


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({}, id="over the loopback"),
        pytest.param({"client": FAR}, id="from afar"),
        pytest.param({"own": True, "headers": [(b"origin", b"https://evil.example")]}, id="from a web page"),
        pytest.param({"own": True, "headers": [(b"x-forwarded-for", b"10.0.0.9")]}, id="through a proxy"),
    ],
)
async def test_nobody_else_may_name_a_service(how: dict[str, Any]) -> None:
    asked = Asked()
    with pytest.raises(BadRequest) as refused:
        await asked("actions", "POST", body=CREDENTIALS, **how)
    assert refused.value.status == 403
    assert not asked.authorized


@pytest.mark.parametrize(
    ("arguments", "token", "status", "line"),
    [
        pytest.param({"path": "nothing"}, None, 404, None, id="no such endpoint"),
        pytest.param({"path": "stats/more"}, None, 404, None, id="below an endpoint"),
        pytest.param({"path": "files/more", "client": FAR}, None, 403, None, id="below one that has more, from afar"),
        pytest.param({"path": "stats", "method": "POST"}, None, 405, (b"allow", b"GET"), id="POST stats"),
        pytest.param({"path": "purge"}, None, 405, (b"allow", b"POST"), id="GET purge"),
        pytest.param({"path": "stats", "client": FAR}, None, 403, None, id="from afar"),
        pytest.param({"path": "stats", "client": ("gone", 1)}, None, 403, None, id="from who knows where"),
        pytest.param(
            {"path": "stats", "headers": [(b"x-forwarded-for", b"10.0.0.9")]},
            None,
            403,
            None,
            id="through a proxy here",
        ),
        pytest.param({"path": "stats", "client": FAR}, "t", 401, "challenge", id="without the token"),
        pytest.param(
            {"path": "stats", "client": FAR, "headers": [(b"authorization", b"Bearer x")]},
            "t",
            401,
            "challenge",
            id="wrong",
        ),
        pytest.param(
            {"path": "purge", "method": "POST", "headers": [(b"origin", b"https://evil.example")]},
            None,
            403,
            None,
            id="from a web page",
        ),
        pytest.param({"path": "stats", "headers": [(b"origin", b"null")]}, None, 403, None, id="from a sandboxed page"),
        pytest.param({"path": "purge", "method": "POST"}, None, 403, None, id="a change, over the loopback"),
        pytest.param({"path": "purge", "method": "POST"}, "t", 401, "challenge", id="a change, without the token"),
        pytest.param(
            {"path": "purge", "method": "POST", "own": True, "headers": [(b"origin", b"http://127.0.0.1:8080")]},
            "t",
            401,
            "challenge",
            id="a change, by the own page",
        ),
        pytest.param(
            {"path": "purge", "method": "POST", "own": True, "headers": [(b"x-real-ip", b"127.0.0.1")]},
            "t",
            401,
            "challenge",
            id="a change, through a proxy of this user",
        ),
    ],
)
async def test_who_may_not(
    arguments: dict[str, Any], token: str | None, status: int, line: str | tuple[bytes, bytes] | None
) -> None:
    with pytest.raises(BadRequest) as refused:
        await Asked(token)(**arguments)
    assert refused.value.status == status
    if line == "challenge":
        assert refused.value.lines[0][0] == b"www-authenticate"
    elif line:
        assert refused.value.lines == (line,)


@pytest.mark.parametrize("scheme", [b"Bearer t", b"bearer t", b"token t"])
async def test_from_afar_with_the_token(scheme: bytes) -> None:
    assert (await Asked("t")("stats", client=FAR, headers=[(b"authorization", scheme)]))[0] == 200


BASIC = (b"authorization", b"Basic " + base64.b64encode(b"anyone:t"))


async def test_a_browser_is_asked_for_the_token_and_may_read_with_it() -> None:
    with pytest.raises(BadRequest) as refused:
        await Asked("t")("stats", client=FAR)
    assert [value.split()[0] for _, value in refused.value.lines] == [b"Bearer", b"Basic"]
    assert (await Asked("t")("stats", client=FAR, headers=[BASIC]))[0] == 200


@pytest.mark.parametrize("client", [HERE, FAR])
async def test_what_a_browser_sends_by_itself_changes_nothing(client: tuple[str, int]) -> None:
    asked = Asked("t")
    with pytest.raises(BadRequest) as refused:
        await asked("purge", "POST", client=client, headers=[BASIC], body=b'{"all": true}')
    assert refused.value.status == 401
    assert [value.split()[0] for _, value in refused.value.lines] == [b"Bearer"]
    assert not asked.purged


async def test_the_own_page_may_ask() -> None:
    assert (await Asked()("stats", headers=[(b"origin", b"http://127.0.0.1:8080")]))[0] == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({}, {"status": "degraded", "reasons": ["the disk is full"]}, id="here"),
        pytest.param({"client": FAR}, {"status": "degraded"}, id="from afar"),
        pytest.param(
            {"client": FAR, "headers": [(b"authorization", b"Bearer t")]},
            {"status": "degraded", "reasons": ["the disk is full"]},
            id="from afar with the token",
        ),
    ],
)
async def test_what_is_wrong_is_for_those_who_may_ask(arguments: dict[str, Any], said: dict[str, object]) -> None:
    status, body = await Asked("t", ["the disk is full"])("healthz", **arguments)
    assert (status, json.loads(body)) == (200, said)


async def test_health_is_for_everybody() -> None:
    assert (await Asked()("healthz", client=FAR))[0] == 200


@pytest.mark.parametrize(
    ("token", "others", "said"),
    [
        ("let-me-look", {}, "letters and digits"),
        ("c0ntrol", {}, "too short"),
        (STRONG, {"secrets": (Secret(STRONG),)}, "opens nothing else"),
        (STRONG, {"webhook_secrets": (Secret(STRONG),)}, "opens nothing else"),
        (STRONG, {"token": Secret(STRONG)}, "opens nothing else"),
    ],
)
def test_a_token_that_protects_nothing_is_refused(token: str, others: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        chosen_token(Settings(control_token=Secret(token), **others))
    assert str(refused.value).startswith("CACHE_CONTROL_TOKEN: ")
    assert token not in str(refused.value)


def test_a_good_token_is_taken_and_none_is_made_up() -> None:
    assert chosen_token(Settings(control_token=Secret(STRONG))) == STRONG
    assert chosen_token(Settings()) is None
