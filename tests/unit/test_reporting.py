from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from p2pcache import reporting
from p2pcache.cache.library import Library
from p2pcache.cache.memory import Memory
from p2pcache.cache.sealing import Keyring
from p2pcache.gateway.http_upstream import HttpUpstream
from p2pcache.gateway.routing import Upstreams
from p2pcache.github.trial import RuleTrial
from p2pcache.health import Health
from p2pcache.ledger.ledger import Ledger
from p2pcache.reporting import Reporting


def test_what_a_node_tells_of_itself() -> None:
    upstream = HttpUpstream(Upstreams("https://ghe.example/api/v3"), "1", lambda *_: None)
    upstream.unreachable = "GitHub cannot be reached"
    library = Library(Memory(1 << 20), (), Keyring.ephemeral())
    health = Health(None, (), upstream, None, expects_peers=False)
    told = Reporting("https://ghe.example/api/v3", Ledger(), library, None, RuleTrial(), health).stats("off")
    assert told["etag_rule"]["state"] == "untested"
    assert told["stores"] == []
    assert told["store"]["memory_entries"] == 0
    assert told["node"]["upstream"] == "https://ghe.example/api/v3"
    assert told["node"]["degraded"] == ["GitHub cannot be reached"]


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"requests": "many"}'])
def test_a_file_that_is_no_ledger_begins_a_new_one(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "stats.json"
    if content is not None:
        file.write_bytes(content)
    assert reporting.restored(file).stats()["requests"] == 0


async def test_counts_are_kept_and_taken_up_again(tmp_path: Path) -> None:
    file, ledger = tmp_path / "below" / "stats.json", Ledger()
    ledger.miss(ledger.route("GET /"))
    keeping = asyncio.create_task(reporting.keep(file, ledger.stats, every=0.01))
    async with asyncio.timeout(20):
        while not file.exists():  # noqa: ASYNC110 - written by another thread
            await asyncio.sleep(0.01)
    keeping.cancel()
    assert json.loads(file.read_bytes())["requests"] == 1
    assert reporting.restored(file).stats()["misses"] == 1
    assert list(file.parent.iterdir()) == [file]
