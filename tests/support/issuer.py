"""An OIDC issuer on the loopback, over TLS: gives a job's tokens as a runner's server does, and publishes its keys."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import oidc
from tests.support.gateway import certificate
from tests.support.http_service import Asked, HttpService, http_service


@dataclass
class Issuer:
    """Its URL, the file that makes it trusted, and what it gave."""

    url: str
    authority: Path
    tokens: list[str] = field(default_factory=list)

    def job(self, repository: str = "1001", event: str = "push", **claims: str) -> dict[str, str]:
        """The variables of a job with ``id-token: write``."""
        wanted = "&".join(
            f"{name}={value}" for name, value in {"repository_id": repository, "event_name": event, **claims}.items()
        )
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?{wanted}",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "the-runners-own",
            **self.trust(),
        }

    def trust(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.authority)}


@contextlib.contextmanager
def issuer(directory: Path) -> Iterator[Issuer]:
    """One in a thread of its own, since the test's may wait for processes."""
    directory.mkdir(parents=True, exist_ok=True)
    tls, _ = certificate(directory)
    found = Issuer("", directory / "tls.pem")
    loop = asyncio.new_event_loop()
    started = threading.Event()
    over = asyncio.Event()

    def give(asked: Asked) -> object:
        if asked.headers.get("Authorization") != "bearer the-runners-own":
            return (401, b"")
        claims: dict[str, Any] = dict(asked.query)
        token = oidc.token(claims.pop("audience"), issuer=found.url, **claims)
        found.tokens.append(token)
        return f'{{"count": 1, "value": "{token}"}}'.encode()

    async def serve() -> None:
        async with http_service({}, tls) as service:
            found.url = service.url
            _answer(service, found.url)
            service.answers["/token"] = give
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield found
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def _answer(service: HttpService, url: str) -> None:
    service.answers["/.well-known/openid-configuration"] = oidc.configuration(url)
    service.answers["/.well-known/jwks"] = oidc.key_document("one")
