"""The tools about the node itself: what its cache did and why, and what it is to forget."""

from __future__ import annotations

import http
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from p2pcache.hub.mcp import picks
from p2pcache.hub.mcp.asking import AskError, Finding, One, Rows, objects, parsed, refusal, target_of
from p2pcache.hub.mcp.node_api import ApiAnswer, NodeApi
from p2pcache.hub.mcp.picks import picked
from p2pcache.hub.mcp.reading import Arguments, Paged
from p2pcache.hub.mcp.untrusted import visible, visible_json

MOST_ROUTES = 10
NEEDS_CONTROL = (
    "this needs the node's control token, CACHE_CONTROL_TOKEN: as the header P2pcache-Control-Token of a client over "
    "HTTP, as that variable for p2pcache mcp; or p2pcache mcp beside the node, as its user"
)


class Status(Paged, frozen=True, kw_only=True):
    """Arguments of `cache_status`."""

    what: Literal["stats", "explain", "peers"] = "stats"
    path: Annotated[str, Meta(description="to explain")] = ""


class Forget(Arguments, frozen=True, kw_only=True):
    """Arguments of `cache_purge`: one of the two."""

    path: Annotated[str, Meta(description="/repos/OWNER/REPO/...")] = ""
    all: bool = False


async def cache_status(api: NodeApi, given: Status, _: int) -> Finding:
    """Give the node's statistics, its peers, or why a path is answered as it is."""
    if given.what == "explain":
        return await _explained(api, given.path)
    answer = await _control(api, f"/-/{given.what}")
    value = await parsed(answer)
    if given.what == "peers":
        return Rows(answer, "", [picked(row, picks.PEER) for row in objects(value)])
    counts = {name: visible_json(value.get(name)) for name in ("hits", "upstream", "quota", "errors", "peers")}
    routes = [picked(row, picks.picks("route requests:i saved:i")) for row in objects(value.get("routes"))]
    return One(answer, "", {**picked(value, picks.STATS), **counts, "routes": routes[:MOST_ROUTES]})


async def _explained(api: NodeApi, path: str) -> Finding:
    target = target_of(path)
    answer = await api.github(target)
    fields = {
        "rule": "p2pcache-rule",
        "etag_rule": "p2pcache-etag-rule",
        "peers_asked": "p2pcache-peers",
        "cache_status": "cache-status",
    }
    shown = {name: visible(answer.headers[field])[:1000] for name, field in fields.items() if field in answer.headers}
    return One(answer, target.partition("?")[0], {"status": answer.status, **shown})


async def cache_purge(api: NodeApi, given: Forget, _: int) -> Finding:
    """Forget a path, or all, in this node and at its peers."""
    if given.all == bool(given.path):
        raise AskError("name a path, or all: one of the two")
    wanted: dict[str, Any] = {"all": True} if given.all else {"url": target_of(given.path)}
    answer = await _control(api, "/-/purge", msgspec.json.encode(wanted))
    return One(answer, "", picked(await parsed(answer), picks.picks("status")))


async def _control(api: NodeApi, target: str, body: bytes | None = None) -> ApiAnswer:
    answer = await api.control(target, body)
    if answer.status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        raise AskError(NEEDS_CONTROL)
    if answer.status != http.HTTPStatus.OK:
        raise AskError(refusal(answer))
    return answer
