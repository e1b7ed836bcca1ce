from __future__ import annotations

import pytest

from p2pcache.github.lifetimes import DEFAULT_SECONDS, parse_ttl
from p2pcache.github.request import Lifetime


def test_defaults_cover_every_class_and_grow_with_stability() -> None:
    order = [Lifetime.NEVER, Lifetime.LIVE, Lifetime.NORMAL, Lifetime.SLOW, Lifetime.IMMUTABLE]
    seconds = [DEFAULT_SECONDS[lifetime] for lifetime in order]
    assert seconds == sorted(set(seconds))
    assert seconds[0] == 0
    assert set(DEFAULT_SECONDS) == set(Lifetime)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param(" \n", {}, id="blank"),
        pytest.param("normal=5", {Lifetime.NORMAL: 5.0}, id="one class"),
        pytest.param(" normal = 5 , slow=1.5, ", {Lifetime.NORMAL: 5.0, Lifetime.SLOW: 1.5}, id="spaces"),
        pytest.param("live=0", {Lifetime.LIVE: 0.0}, id="zero"),
        pytest.param("7", dict.fromkeys(set(Lifetime) - {Lifetime.NEVER}, 7.0), id="one number for all but never"),
    ],
)
def test_parse_ttl(text: str, changed: dict[Lifetime, float]) -> None:
    assert parse_ttl(text) == {**DEFAULT_SECONDS, **changed}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fast=5", "'fast' is not a lifetime class"),
        ("never=5", "'never' is not a lifetime class that can be set"),
        ("normal=x", "'x' is not a number of seconds"),
        ("normal=", "'' is not a number of seconds"),
        ("-1", "'-1' is not a number"),
        ("inf", "'inf' is not a number"),
        ("nan", "'nan' is not a number"),
        ("soon", "write 60, or normal=60,slow=300"),
    ],
)
def test_what_cannot_be_used_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        parse_ttl(text)
    assert says in str(error.value)
