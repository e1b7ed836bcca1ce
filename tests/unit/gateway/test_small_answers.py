"""One small answer, or a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pcache.gateway.small_answers import BYTES, SmallAnswerError, get
from tests.support.gateway import certificate
from tests.support.http_service import http_service

SECONDS = 20.0


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trust what a test certifies."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls.pem"))
    return tmp_path


async def failure(url: str, seconds: float = SECONDS) -> str:
    with pytest.raises(SmallAnswerError) as caught:
        await get(url, {}, seconds)
    return str(caught.value)


async def test_an_answer_is_bounded_in_bytes_and_time_and_no_redirect_is_followed(authority: Path) -> None:
    tls, _ = certificate(authority)
    answers: dict[str, object] = {
        "/a": b"x" * BYTES,
        "/long": b"x" * (BYTES + 1),
        "/never": None,
        "/moved": (302, b""),
        "/a%2Fb": b"",
    }
    async with http_service(answers, tls) as service:
        assert await get(f"{service.url}/a?q=%2F&r=1", {"Authorization": "bearer t"}, SECONDS) == b"x" * BYTES
        [asked] = service.asked
        assert (asked.query, asked.headers["Authorization"]) == ([("q", "/"), ("r", "1")], "bearer t")
        assert await failure(f"{service.url}/long") == f"it answers more than {BYTES} bytes"
        assert await failure(f"{service.url}/never", 0.2) == "no answer within 0.2 s"
        assert await failure(f"{service.url}/moved") == "it answers 302"
        assert await failure(f"{service.url}/unknown") == "it answers 404"


async def test_only_https_from_a_server_that_is_trusted(tmp_path: Path) -> None:
    tls, _ = certificate(tmp_path)
    async with http_service({"/a": b"yes"}, tls) as service:
        assert (await failure(f"{service.url}/a")).startswith("its certificate is not trusted here")
        assert await failure(service.url.replace("https", "http") + "/a") == "its address is no https URL"
    assert (await failure(f"{service.url}/a")).startswith("it cannot be reached (")
    assert (await failure("https://[/")).startswith("it cannot be reached (")
