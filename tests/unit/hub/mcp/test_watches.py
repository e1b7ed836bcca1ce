"""Watched resources, and the drops that concern them."""

import hashlib
from collections.abc import Sequence

import pytest

from p2pcache.github import writes
from p2pcache.hub.mcp.watches import MOST, MOST_OF_ONE, MOST_URIS, Watches, WatchLimitError

ISSUE = "github://repos/octo/app/issues/1"
README = "github://repos/octo/app/readme"
URIS = {ISSUE: writes.topics("/repos/octo/app/issues/1"), README: writes.topics("/repos/octo/app/readme")}


def names(topics: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(topic.encode()).digest() for topic in topics)


def dropped(method: str, path: str) -> tuple[bytes, ...]:
    return names(writes.drops(method, path))


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def watches(heard: list[str]) -> Watches:
    made = Watches(names)
    made.subscribe(heard.append)
    return made


@pytest.mark.parametrize(
    ("method", "path", "uris"),
    [
        ("POST", "/repos/octo/app/issues/1/comments", {ISSUE}),
        ("PUT", "/repos/octo/app/contents/a", {ISSUE, README}),  # a push can close issues
        ("DELETE", "/repos/octo/app", {ISSUE, README}),
        ("POST", "/repos/octo/lib/issues", set()),
        ("POST", "/orgs/octo", {ISSUE, README}),
        ("POST", "/graphql", {ISSUE, README}),
    ],
)
def test_a_drop_is_about_what_carries_its_topics(
    watches: Watches, heard: list[str], method: str, path: str, uris: set[str]
) -> None:
    with watches.watching(b"a", URIS):
        watches.dropped(dropped(method, path), None)
    assert set(heard) == uris
    assert len(heard) == len(uris)


def test_the_drop_of_one_scope_is_nobody_elses(watches: Watches, heard: list[str]) -> None:
    with watches.watching(b"a", URIS):
        watches.dropped(names([writes.ALL]), b"scope")
    assert heard == []


def test_what_is_no_longer_watched_is_not_heard_of(watches: Watches, heard: list[str]) -> None:
    with watches.watching(b"a", URIS):
        with watches.watching(b"b", {ISSUE: URIS[ISSUE]}):
            pass
        watches.dropped(names([writes.ALL]), None)
        assert set(heard) == set(URIS)
    watches.dropped(names([writes.ALL]), None)
    assert len(heard) == len(URIS)


def test_after_the_end_nothing_is_heard(heard: list[str]) -> None:
    watches = Watches(names)
    end = watches.subscribe(heard.append)
    end()
    end()
    with watches.watching(b"a", URIS):
        watches.dropped(names([writes.ALL]), None)
    assert heard == []


def test_one_caller_has_so_many(watches: Watches) -> None:
    held = [watches.watching(b"a", URIS) for _ in range(MOST_OF_ONE)]
    for each in held:
        each.__enter__()
    with pytest.raises(WatchLimitError), watches.watching(b"a", URIS):
        pass
    with watches.watching(b"b", URIS):
        pass
    for each in held:
        each.__exit__(None, None, None)
    with watches.watching(b"a", URIS):
        pass


def test_all_callers_have_so_many(watches: Watches) -> None:
    held = [watches.watching(b"%d" % number, {}) for number in range(MOST)]
    for each in held:
        each.__enter__()
    with pytest.raises(WatchLimitError), watches.watching(b"one more", {}):
        pass
    for each in held:
        each.__exit__(None, None, None)


def test_one_stream_has_so_many_resources(watches: Watches) -> None:
    with pytest.raises(WatchLimitError), watches.watching(b"a", {str(number): () for number in range(MOST_URIS + 1)}):
        pass
