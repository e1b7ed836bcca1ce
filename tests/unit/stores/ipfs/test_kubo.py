"""What is asked of a daemon, and what its refusals mean; tests/integration/stores has the real one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs.kubo import Kubo
from tests.support.http_service import HttpService, http_service

PRIVATE = {"Bootstrap": [], "Routing": {"DelegatedRouters": []}, "Ipns": {"DelegatedPublishers": []}}


def config(**changes: Any) -> bytes:
    return json.dumps(PRIVATE | changes).encode()


def refusal(message: str) -> tuple[int, bytes]:
    return 500, json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode()


@pytest.fixture
async def daemon() -> AsyncIterator[HttpService]:
    async with http_service({"/api/v0/version": b"{}", "/api/v0/config/show": config()}) as service:
        yield service


@pytest.fixture
async def kubo(daemon: HttpService) -> AsyncIterator[Kubo]:
    kubo = Kubo(daemon.url, "")
    yield kubo
    await kubo.close()


class TestOpening:
    @pytest.mark.parametrize(
        "shown",
        [
            config(),
            config(Bootstrap=None),
            config(Routing={"Type": "auto"}, Ipns={}),
            config(Routing={"Type": "dht", "DelegatedRouters": ["auto"]}),
        ],
    )
    async def test_a_private_daemon_asks_its_peers(self, kubo: Kubo, daemon: HttpService, shown: bytes) -> None:
        daemon.answers["/api/v0/config/show"] = shown
        assert await kubo.open() == ""
        daemon.answers["/api/v0/name/get"] = b"record"
        assert await kubo.record("k51") == b"record"
        assert daemon.asked[-1].values("offline") == []

    @pytest.mark.parametrize(
        ("shown", "why"),
        [
            (config(Bootstrap=["auto"]), "on the public network"),
            (config(Routing={"DelegatedRouters": ["auto"]}), "asks public routers"),
            (config(Ipns={"DelegatedPublishers": ["auto"]}), "asks public routers"),
            (config(Routing={"Type": "none"}), "Routing.Type"),
            (config(Routing={"Type": "custom"}), "Routing.Type"),
            ((403, b""), "does not show its configuration"),
            (b"no JSON", "does not show its configuration"),
            (b"[]", "does not show its configuration"),
            (b'{"Bootstrap": ["\xff"]}', "does not show its configuration"),
            (b'{"Gateway": ' + b"[" * 100_000, "does not show its configuration"),
        ],
    )
    async def test_any_other_is_used_offline(self, kubo: Kubo, daemon: HttpService, shown: object, why: str) -> None:
        daemon.answers["/api/v0/config/show"] = shown
        assert why in await kubo.open()
        daemon.answers |= dict.fromkeys(
            [f"/api/v0/{path}" for path in ("name/get", "name/put", "block/get", "block/put", "dag/import")], b"{}"
        )
        begun = len(daemon.asked)
        await kubo.record("k51")
        await kubo.put_record("k51", b"record")
        await kubo.block("bafk")
        assert await kubo.fetch("bafk") is None
        await kubo.put_block(b"block")
        await kubo.put_archive(b"car")
        assert [asked.values("offline") for asked in daemon.asked[begun:]] == [["true"]] * 5

    @pytest.mark.parametrize(("enabled", "announces"), [(None, True), (True, True), (False, False)])
    async def test_the_reason_says_whether_a_public_one_announces_what_it_keeps(
        self, kubo: Kubo, daemon: HttpService, enabled: bool | None, announces: bool
    ) -> None:
        daemon.answers["/api/v0/config/show"] = config(Bootstrap=["auto"], Provide={"Enabled": enabled, "DHT": {}})
        assert ("Provide.Enabled" in await kubo.open()) is announces

    async def test_it_is_not_used_at_all_where_it_is_not_there(self, kubo: Kubo, daemon: HttpService) -> None:
        daemon.answers["/api/v0/version"] = (404, b"")
        with pytest.raises(StoreError, match="HTTP 404 in answer to /version: it is not the RPC of Kubo") as caught:
            await kubo.open()
        assert caught.value.lasting


async def test_a_token_that_no_header_takes_is_named_before_anything_is_sent(daemon: HttpService) -> None:
    kubo = Kubo(daemon.url, "s3cret\r\nX-Evil: 1")
    with pytest.raises(StoreError) as caught:
        await kubo.open()
    await kubo.close()
    assert str(caught.value) == "CACHE_IPFS_TOKEN has a character that no credential has, such as a line break"
    assert caught.value.lasting
    assert daemon.asked == []


async def test_every_call_has_a_timeout_of_the_daemons_own(kubo: Kubo, daemon: HttpService) -> None:
    daemon.answers |= dict.fromkeys([f"/api/v0/{path}" for path in ("name/get", "block/get", "pin/ls")], b"")
    await kubo.open()
    await kubo.record("k51")
    await kubo.block("bafk")
    await kubo.pins("p2pcache/", 100)
    assert all(asked.values("timeout") for asked in daemon.asked)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_a_lasting_failure(daemon: HttpService, status: int) -> None:
    daemon.answers["/api/v0/block/get"] = (status, b"hostile words")
    kubo = Kubo(daemon.url, "s3cret")
    with pytest.raises(StoreError) as caught:
        await kubo.block("bafk")
    await kubo.close()
    assert daemon.asked[-1].headers["Authorization"] == "Bearer s3cret"
    assert caught.value.lasting
    assert str(caught.value) == (
        "it refuses /block/get: see CACHE_IPFS_TOKEN, and the AllowedPaths of its API.Authorizations"
    )


@pytest.mark.parametrize(("status", "lasting"), [(429, False), (503, False), (301, True), (405, True)])
async def test_another_status_is_a_proxys_or_another_services(
    kubo: Kubo, daemon: HttpService, status: int, lasting: bool
) -> None:
    daemon.answers["/api/v0/block/get"] = (status, b"hostile words")
    with pytest.raises(StoreError, match=f"^HTTP {status} in answer to /block/get") as caught:
        await kubo.block("bafk")
    assert caught.value.lasting is lasting


class TestReading:
    async def test_what_is_missing_is_none(self, kubo: Kubo, daemon: HttpService) -> None:
        await kubo.open()
        daemon.answers["/api/v0/block/get"] = refusal("block was not found locally (offline): ipld: could not find x")
        daemon.answers["/api/v0/name/get"] = refusal("routing: not found")
        assert await kubo.block("bafk") is None
        assert await kubo.fetch("bafk") is None
        assert await kubo.record("k51") is None
        assert [asked.values("offline") for asked in daemon.of("/api/v0/block/get")] == [["true"], []]

    async def test_an_expired_record_is_none(self, kubo: Kubo, daemon: HttpService) -> None:
        daemon.answers["/api/v0/name/get"] = refusal("record is expired")
        assert await kubo.record("k51") is None

    @pytest.mark.parametrize(
        "answer", [refusal("pebble: closed"), (500, b"no JSON"), (500, b"[]"), (500, b'{"Message": "\xff"}')]
    )
    async def test_anything_else_is_a_failure_in_our_words(
        self, kubo: Kubo, daemon: HttpService, answer: tuple[int, bytes]
    ) -> None:
        daemon.answers["/api/v0/block/get"] = answer
        with pytest.raises(StoreError, match=r"^an error in answer to /block/get$"):
            await kubo.block("bafk")

    async def test_a_block_that_no_peer_sends_in_time_is_missing_and_one_of_its_own_is_late(
        self, kubo: Kubo, daemon: HttpService
    ) -> None:
        await kubo.open()
        daemon.answers["/api/v0/block/get"] = refusal("context deadline exceeded")
        assert await kubo.fetch("bafk") is None
        with pytest.raises(StoreError):
            await kubo.block("bafk")

    async def test_a_record_that_only_this_daemon_has_is_found(self, kubo: Kubo, daemon: HttpService) -> None:
        await kubo.open()
        daemon.answers["/api/v0/name/get"] = lambda asked: (
            b"record" if asked.values("offline") else refusal("failed to find any peer in table")
        )
        assert await kubo.record("k51") == b"record"


class TestWriting:
    async def test_a_record_that_is_not_newer_is_refused(self, kubo: Kubo, daemon: HttpService) -> None:
        daemon.answers["/api/v0/name/put"] = b"{}"
        assert await kubo.put_record("k51", b"record")
        daemon.answers["/api/v0/name/put"] = refusal("existing IPNS record has sequence 4 >= new record sequence 4, x")
        assert not await kubo.put_record("k51", b"record")
        daemon.answers["/api/v0/name/put"] = refusal("no space left on device")
        with pytest.raises(StoreError):
            await kubo.put_record("k51", b"record")

    async def test_bytes_are_sent_as_a_file(self, kubo: Kubo, daemon: HttpService) -> None:
        daemon.answers["/api/v0/block/put"] = b"{}"
        await kubo.put_block(b"\x00bytes\xff")
        (asked,) = daemon.of("/api/v0/block/put")
        assert b"\r\n\r\n\x00bytes\xff\r\n--" in asked.body
        assert (asked.values("cid-codec"), asked.values("mhtype")) == (["raw"], ["sha2-256"])


class TestPins:
    async def test_pins_are_listed_as_far_as_there_is_room(self, kubo: Kubo, daemon: HttpService) -> None:
        lines = [{"Cid": f"bafk{i}", "Name": f"p2pcache/{i}", "Type": "recursive"} for i in range(3)]
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        daemon.answers["/api/v0/pin/ls"] = body
        assert await kubo.pins("p2pcache/", len(body)) == [(f"bafk{i}", f"p2pcache/{i}") for i in range(3)]
        assert await kubo.pins("p2pcache/", len(body) - 5) == [(f"bafk{i}", f"p2pcache/{i}") for i in range(2)]
        for malformed in (b"{}\n", b'{"Cid": "\xff"}\n'):
            daemon.answers["/api/v0/pin/ls"] = malformed
            with pytest.raises(StoreError, match="its list of pins is malformed"):
                await kubo.pins("p2pcache/", 100)

    async def test_a_pin_that_another_node_removed_is_no_failure(self, kubo: Kubo, daemon: HttpService) -> None:
        daemon.answers["/api/v0/pin/rm"] = refusal("not pinned or pinned indirectly")
        await kubo.unpin("bafk")
        daemon.answers["/api/v0/pin/rm"] = refusal("context canceled")
        with pytest.raises(StoreError):
            await kubo.unpin("bafk")
