"""`up` and `run` join the hub of their host, if there is one and nothing else was said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pcache.cache.sealing import generate_secret
from p2pcache.commands import hubs
from p2pcache.runner.bootstrap import Bootstrap, Target
from p2pcache.runner.network import Evidence, Network
from p2pcache.settings import Settings, load

HUB = "/ip4/127.0.0.1/tcp/9100"
ANOTHER = "/ip4/127.0.0.1/tcp/9101"


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Of a node with a secret, less what is overridden."""

    def make(**variables: str) -> Settings:
        return load({"directory": str(tmp_path)}, {"CACHE_SECRET": generate_secret(), **variables})

    return make


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """What is found on the host, and how often it was looked for."""
    looked = []

    def found(*, reachable: bool) -> list[Any]:
        def resolve(targets: tuple[Target], *_: Evidence | Network) -> Bootstrap:
            looked.append(targets)
            return Bootstrap((HUB,) if reachable else (), reachable, "a sentence about the hub")

        monkeypatch.setattr(hubs, "resolve", resolve)
        return looked

    return found


def test_the_hub_of_the_host_is_joined_and_named(
    settings: Callable[..., Settings], host: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    host(reachable=True)
    assert hubs.with_hub(settings()).bootstrap == (HUB,)
    assert "a sentence about the hub" in capsys.readouterr().err


def test_without_a_hub_nothing_changes_and_nothing_is_said(
    settings: Callable[..., Settings], host: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    looked, before = host(reachable=False), settings()
    assert hubs.with_hub(before) == before
    assert len(looked) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "variables", [{"CACHE_BOOTSTRAP_PEERS": ANOTHER}, {"CACHE_SHARE": "off"}, {"CACHE_SECRET": ""}]
)
def test_a_node_that_has_a_hub_or_wants_none_does_not_look(
    settings: Callable[..., Settings], host: Callable[..., list[Any]], variables: dict[str, str]
) -> None:
    looked, before = host(reachable=True), settings(**variables)
    assert hubs.with_hub(before) == before
    assert looked == []
