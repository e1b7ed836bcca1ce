"""A job's token from its runner's server."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pcache.runner.id_tokens import IdTokens
from p2pcache.swarm.rules.admitted import TokenUnavailableError
from p2pcache.values import Secret
from tests.support.gateway import certificate
from tests.support.http_service import http_service


async def test_a_token_is_asked_for_with_the_runners_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls.pem"))
    tls, _ = certificate(tmp_path)
    async with http_service({"/t": b'{"count": 3, "value": "a.b.c"}', "/bad": b"{}"}, tls) as service:
        assert await IdTokens(f"{service.url}/t?api-version=2.0", Secret("k")).get("hub", "me") == "a.b.c"
        [asked] = service.asked
        assert asked.query == [("api-version", "2.0"), ("audience", "p2pcache:hub:me")]
        assert asked.headers["Authorization"] == "bearer k"
        for path, sentence in (
            ("bad", "the runner gives no OIDC token: it answers something else"),
            ("none", "the runner gives no OIDC token: it answers 404"),
        ):
            with pytest.raises(TokenUnavailableError) as caught:
                await IdTokens(f"{service.url}/{path}", Secret("k")).get("hub", "me")
            assert str(caught.value) == sentence
