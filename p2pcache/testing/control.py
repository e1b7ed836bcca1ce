"""The control over HTTP, for other languages: ``/_stand-in/…``, JSON in and out, never counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from p2pcache.testing.faults import Fault

if TYPE_CHECKING:
    from p2pcache.testing.standin import StandIn

PREFIX = "/_stand-in"


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST."""


class _Token(_Order):
    value: str
    repos: list[str] = []
    kind: str | None = None
    limit: int | None = None
    login: str = "octocat"
    read_only: bool = False


class _Repository(_Order):
    name: str
    private: bool = False
    issues: int = 3
    pulls: int = 2
    commits: int = 5
    branches: int = 2
    releases: int = 2
    runs: int = 2


class _Rename(_Order):
    old: str
    new: str


class _Edit(_Order):
    repo: str
    issue: int | None = None
    file: str | None = None
    content: str = ""
    fields: dict[str, Any] = {}


class _Grant(_Order):
    token: str
    repo: str


class _Revoke(_Order):
    token: str
    repo: str | None = None


class _Secondary(_Order):
    match: str = "*"
    status: int = 403
    retry_after: int = 60
    times: int | None = 1


class _Nothing(_Order):
    pass


def mount(app: web.Application, github: StandIn) -> None:
    """Add the control's routes to the server."""

    async def calls(request: web.Request) -> web.Response:
        token = request.query.get("token")
        return _json([call for call in github.calls if token is None or call.token == token])

    async def charged(request: web.Request) -> web.Response:
        return _json({"charged": github.charged(request.query.get("token")), "calls": len(github.calls)})

    app.router.add_get(f"{PREFIX}/calls", calls)
    app.router.add_get(f"{PREFIX}/charged", charged)
    for name, (order, act) in _orders(github).items():
        app.router.add_post(f"{PREFIX}/{name}", _handler(order, act))


def _orders(github: StandIn) -> dict[str, tuple[type, Callable[[Any], object]]]:
    def repository(order: _Repository) -> None:
        content = msgspec.structs.asdict(order)
        github.repository(content.pop("name"), **content)

    def edit(order: _Edit) -> None:
        github.edit(order.repo, issue=order.issue, file=order.file, content=order.content, **order.fields)

    return {
        "token": (_Token, lambda order: github.token(**msgspec.structs.asdict(order))),
        "repository": (_Repository, repository),
        "rename": (_Rename, lambda order: github.rename(order.old, order.new)),
        "edit": (_Edit, edit),
        "grant": (_Grant, lambda order: github.grant(order.token, order.repo)),
        "revoke": (_Revoke, lambda order: github.revoke(order.token, order.repo)),
        "fault": (Fault, github.fault),
        "secondary": (_Secondary, lambda order: github.secondary(**msgspec.structs.asdict(order))),
        "clear-faults": (_Nothing, lambda _: github.clear_faults()),
        "reset-calls": (_Nothing, lambda _: github.reset_calls()),
    }


def _handler(order: type, act: Callable[[Any], object]) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        try:
            act(msgspec.json.decode(await request.read() or b"{}", type=order))
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as problem:
            return _json({"error": str(problem)}, 400)
        return _json({"ok": True})

    return handle


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
