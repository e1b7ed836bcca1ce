from __future__ import annotations

import pytest

from p2pcache.github import routes
from p2pcache.github.etag import TagKind
from p2pcache.github.validators import dated, kind

REPO = "/repos/o/r"


@pytest.mark.parametrize(
    ("path", "form", "expected"),
    [
        (REPO, "json", TagKind.HASH),
        (f"{REPO}/issues", "json", TagKind.HASH),
        (f"{REPO}/pulls/1", "diff", TagKind.HASH),
        (f"{REPO}/git/blobs/{'a' * 40}", "raw", TagKind.HASH),
        (f"{REPO}/contents/a/b", "raw", TagKind.BLOB),
        ("/repositories/1/contents/a/b", "raw", TagKind.BLOB),
        (f"{REPO}/readme", "raw", TagKind.BLOB),
        (f"{REPO}/readme/docs", "raw", TagKind.BLOB),
        (f"{REPO}/contents", "json", TagKind.OPAQUE),
        (f"{REPO}/contents/a", "json", TagKind.OPAQUE),
        (f"{REPO}/contents/a", "html", TagKind.OPAQUE),
        (f"{REPO}/readme", "json", TagKind.OPAQUE),
        (f"{REPO}/commits/main", "sha", TagKind.OPAQUE),
        (f"{REPO}/commits/main", "json", TagKind.HASH),
        ("/search/issues", "json", TagKind.OPAQUE),
        ("/search/code", "json", TagKind.OPAQUE),
        ("/events", "json", TagKind.OPAQUE),
        (f"{REPO}/events", "json", TagKind.OPAQUE),
        ("/networks/o/r/events", "json", TagKind.OPAQUE),
        ("/orgs/o/events", "json", TagKind.OPAQUE),
        ("/users/u/events", "json", TagKind.OPAQUE),
        ("/users/u/events/public", "json", TagKind.OPAQUE),
        ("/users/u/events/orgs/o", "json", TagKind.OPAQUE),
        ("/users/u/received_events", "json", TagKind.OPAQUE),
        ("/users/u/received_events/public", "json", TagKind.OPAQUE),
        (f"{REPO}/issues/events", "json", TagKind.HASH),
        (f"{REPO}/issues/1/events", "json", TagKind.HASH),
        (f"{REPO}/issues/events/1", "json", TagKind.HASH),
    ],
)
def test_what_a_tag_is_made_of(path: str, form: str, expected: TagKind) -> None:
    route = routes.match(path)
    assert route is not None
    assert kind(route.template, form) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (REPO, True),
        (f"{REPO}/pulls/1", True),
        (f"{REPO}/commits/main", True),
        ("/users/u", True),
        (f"{REPO}/issues", False),
        (f"{REPO}/actions/runs", False),
        (f"{REPO}/git/matching-refs/heads", False),
        (f"{REPO}/releases", False),
        (f"{REPO}/releases/1", False),
        (f"{REPO}/releases/latest", False),
        (f"{REPO}/releases/tags/v1", False),
        (f"{REPO}/releases/assets/1", False),
        (f"{REPO}/contents/dir", False),
    ],
)
def test_what_a_date_is_believed_of(path: str, expected: bool) -> None:
    route = routes.match(path)
    assert route is not None
    assert dated(route.template, listing=route.listing) is expected
