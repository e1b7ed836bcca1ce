from __future__ import annotations

import inspect

import p2pcache.testing
from p2pcache.testing import StandIn


def test_all_names_what_is_exported() -> None:
    public = {
        name for name, value in vars(p2pcache.testing).items() if inspect.isclass(value) and not name.startswith("_")
    }
    assert sorted(public) == p2pcache.testing.__all__


def test_asking_needs_no_socket() -> None:
    github = StandIn()
    github.repository("octo/app")
    github.token("ghs_1", repos=["octo/app"])
    headers = {"Authorization": "token ghs_1"}
    first = github.ask("GET", "/repos/octo/app", headers)
    assert (first.status, first.charged) == (200, True)
    again = github.ask("GET", "/repos/octo/app", {**headers, "If-None-Match": f'"{first.tag}"'})
    assert (again.status, again.charged, again.tag) == (304, False, first.tag)
    assert [call.status for call in github.calls] == [200, 304]
