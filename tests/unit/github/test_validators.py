from __future__ import annotations

import pytest

from p2pcache.github import routes
from p2pcache.github.etag import Kind
from p2pcache.github.validators import dated, kind

REPO = "/repos/o/r"


@pytest.mark.parametrize(
    ("path", "form", "expected"),
    [
        (REPO, "json", Kind.HASH),
        (f"{REPO}/issues", "json", Kind.HASH),
        (f"{REPO}/pulls/1", "diff", Kind.HASH),
        (f"{REPO}/git/blobs/{'a' * 40}", "raw", Kind.HASH),
        (f"{REPO}/contents/a/b", "raw", Kind.BLOB),
        ("/repositories/1/contents/a/b", "raw", Kind.BLOB),
        (f"{REPO}/readme", "raw", Kind.BLOB),
        (f"{REPO}/readme/docs", "raw", Kind.BLOB),
        (f"{REPO}/contents", "json", Kind.OPAQUE),
        (f"{REPO}/contents/a", "json", Kind.OPAQUE),
        (f"{REPO}/contents/a", "html", Kind.OPAQUE),
        (f"{REPO}/readme", "json", Kind.OPAQUE),
        (f"{REPO}/commits/main", "sha", Kind.OPAQUE),
        (f"{REPO}/commits/main", "json", Kind.HASH),
        ("/search/issues", "json", Kind.OPAQUE),
        ("/search/code", "json", Kind.OPAQUE),
        ("/events", "json", Kind.OPAQUE),
        (f"{REPO}/events", "json", Kind.OPAQUE),
        ("/networks/o/r/events", "json", Kind.OPAQUE),
        ("/orgs/o/events", "json", Kind.OPAQUE),
        ("/users/u/events", "json", Kind.OPAQUE),
        ("/users/u/events/public", "json", Kind.OPAQUE),
        ("/users/u/events/orgs/o", "json", Kind.OPAQUE),
        ("/users/u/received_events", "json", Kind.OPAQUE),
        ("/users/u/received_events/public", "json", Kind.OPAQUE),
        (f"{REPO}/issues/events", "json", Kind.HASH),
        (f"{REPO}/issues/1/events", "json", Kind.HASH),
        (f"{REPO}/issues/events/1", "json", Kind.HASH),
    ],
)
def test_what_a_tag_is_made_of(path: str, form: str, expected: Kind) -> None:
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
