"""The tools that read GitHub: their arguments, the one request that each makes, and what of the answer they give."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from p2pcache.github import graphql
from p2pcache.github.headers import is_json
from p2pcache.hub.mcp import picks
from p2pcache.hub.mcp.asking import (
    AskError,
    Finding,
    One,
    Rows,
    Text,
    ask,
    has_next,
    objects,
    parsed,
    repository_path,
    target_of,
)
from p2pcache.hub.mcp.node_api import NodeApi
from p2pcache.hub.mcp.picks import Picks, picked

MAX_QUERY = 32 << 10
"""Characters of a GraphQL document, and bytes of its variables."""
A_PAGE = 30
MAX_PAGE = 1000
MAX_TEXT = 2000
"""Characters of an argument."""
_LINKS = ("node_id", "_links", "gravatar_id")

Repository = Annotated[str, Meta(description="OWNER/REPO")]


class Arguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a tool takes."""

    @property
    def place(self) -> str:
        """The cursor, empty at first."""
        return ""


class Paged(Arguments, frozen=True, kw_only=True):
    """What a tool takes whose answers have parts."""

    cursor: str = ""

    @property
    def place(self) -> str:
        """The cursor, empty at first."""
        return self.cursor


class GetPath(Paged, frozen=True, kw_only=True):
    """Arguments of `github_get`."""

    path: Annotated[str, Meta(description="/repos/python/cpython/branches?per_page=50")]
    raw: Annotated[bool, Meta(description="keep node ids and API links")] = False


class Query(Paged, frozen=True, kw_only=True):
    """Arguments of `github_graphql`."""

    query: str
    variables: dict[str, Any] = {}


class Search(Paged, frozen=True, kw_only=True):
    """Arguments of `search`."""

    kind: Literal["repositories", "issues", "code", "commits"]
    query: Annotated[str, Meta(description="GitHub's search syntax")]


class OfRepository(Arguments, frozen=True, kw_only=True):
    """Arguments of `repository`."""

    repo: Repository


class Files(Paged, frozen=True, kw_only=True):
    """Arguments of `files`."""

    repo: Repository
    path: Annotated[str, Meta(description="of a file or folder; empty: the root")] = ""
    ref: Annotated[str, Meta(description="branch, tag or SHA")] = ""


class Issues(Paged, frozen=True, kw_only=True):
    """Arguments of `issues`."""

    repo: Repository
    number: Annotated[int, Meta(description="that one instead of the list")] = 0
    comments: Annotated[bool, Meta(description="its comments")] = False
    state: Literal["open", "closed", "all"] = "open"
    labels: Annotated[str, Meta(description="comma separated")] = ""


class PullRequests(Paged, frozen=True, kw_only=True):
    """Arguments of `pull_requests`."""

    repo: Repository
    number: Annotated[int, Meta(description="that one instead of the list")] = 0
    part: Literal["overview", "files", "commits", "reviews", "review_comments", "comments"] = "overview"
    state: Literal["open", "closed", "all"] = "open"


class Runs(Paged, frozen=True, kw_only=True):
    """Arguments of `runs`."""

    repo: Repository
    run_id: Annotated[int, Meta(description="its jobs instead of the list")] = 0
    branch: str = ""
    status: Annotated[str, Meta(description="failure, in_progress, ...")] = ""


async def github_get(api: NodeApi, given: GetPath, _: int) -> Finding:
    """GET any path of the REST API: the body as text, in parts."""
    found = await ask(api, target_of(given.path))
    answer = found.answer
    if is_json(answer.headers.get("content-type", "")):
        value = await parsed(answer)
        text = msgspec.json.encode(value if given.raw else _compact(value)).decode()
        return Text(answer, found.path, text, {"type": "json"})
    return Text(answer, found.path, _text(answer.body), {"type": "text"})


async def github_graphql(api: NodeApi, given: Query, _: int) -> Finding:
    """Run a GraphQL query, never a mutation: the JSON as text, in parts."""
    body = msgspec.json.encode({"query": given.query, "variables": given.variables})
    if len(given.query) > MAX_QUERY or len(body) > 2 * MAX_QUERY:
        raise AskError(f"query: more than {MAX_QUERY >> 10} KiB")
    match await asyncio.to_thread(graphql.read, body):
        case graphql.GraphQLRead():
            found = await ask(api, "/graphql", body)
        case graphql.GraphQLOdd(reason):
            raise AskError(f"query: not sent, since it cannot be seen to be a read: {reason}")
        case _:
            raise AskError("query: not sent: this tool reads, and mutations and subscriptions are no reads")
    text = msgspec.json.encode(await parsed(found.answer)).decode()
    return Text(found.answer, found.path, text, {"type": "json"})


_SEARCHED: dict[str, Picks] = {
    "repositories": picks.FOUND_REPOSITORY,
    "issues": picks.ISSUE,
    "code": picks.FOUND_CODE,
    "commits": picks.COMMIT,
}


async def search(api: NodeApi, given: Search, page: int) -> Finding:
    """Search GitHub."""
    found = await _page(api, f"/search/{given.kind}", page, q=_short("query", given.query))
    value = await parsed(found.answer)
    total = picked(value, picks.picks("total=total_count:i"))
    rows = [picked(row, _SEARCHED[given.kind]) for row in objects(_of(value, "items"))]
    return Rows(found.answer, found.path, rows, max(1, page), not has_next(found.answer), total)


async def repository(api: NodeApi, given: OfRepository, _: int) -> Finding:
    """Describe a repository."""
    found = await ask(api, repository_path(given.repo))
    return One(found.answer, found.path, picked(await parsed(found.answer), picks.REPOSITORY))


async def files(api: NodeApi, given: Files, _: int) -> Finding:
    """List a folder, or give a file's text in parts."""
    path = quote(_short("path", given.path).strip("/"), safe="/!$&'()*+,-.:;=@_~")
    ref = f"?{urlencode({'ref': _short('ref', given.ref)})}" if given.ref else ""
    base = repository_path(given.repo)
    found = await ask(api, target_of(f"{base}/contents{path and '/' + path}{ref}"))
    value = await parsed(found.answer)
    if isinstance(value, list):
        return Rows(found.answer, found.path, [picked(row, picks.ENTRY) for row in objects(value)])
    about = picked(value, picks.picks("type sha size:i"))
    if about.get("type") != "file":  # a submodule or a link: GitHub says where it leads
        return One(found.answer, found.path, picked(value, picks.picks("type sha path target submodule_git_url")))
    if _of(value, "encoding") == "base64":
        return Text(found.answer, found.path, _text(_base64(_of(value, "content"))), about)
    sha = about.get("sha", "")
    if not sha.isalnum():
        raise AskError("GitHub gives no content for this file")
    found = await ask(api, f"{base}/git/blobs/{sha}")  # above 1 MB (docs.github.com, "Get repository content")
    return Text(found.answer, found.path, _text(_base64(_of(await parsed(found.answer), "content"))), about)


async def issues(api: NodeApi, given: Issues, page: int) -> Finding:
    """List issues, or give one, or its comments."""
    base = f"{repository_path(given.repo)}/issues"
    if given.number <= 0:
        named = {"state": given.state, "labels": _short("labels", given.labels)}
        found = await _page(api, base, page, **named)
        rows = [row for row in objects(await parsed(found.answer)) if "pull_request" not in row]
        return _listed(found, rows, picks.ISSUE, page)
    if given.comments:
        found = await _page(api, f"{base}/{given.number}/comments", page)
        return _listed(found, objects(await parsed(found.answer)), picks.COMMENT, page)
    found = await ask(api, f"{base}/{given.number}")
    return One(found.answer, found.path, picked(await parsed(found.answer), picks.ISSUE_WHOLE))


_PARTS: dict[str, tuple[str, Picks]] = {
    "files": ("pulls/{}/files", picks.CHANGED_FILE),
    "commits": ("pulls/{}/commits", picks.COMMIT),
    "reviews": ("pulls/{}/reviews", picks.COMMENT),
    "review_comments": ("pulls/{}/comments", picks.COMMENT),
    "comments": ("issues/{}/comments", picks.COMMENT),
}


async def pull_requests(api: NodeApi, given: PullRequests, page: int) -> Finding:
    """List pull requests, or give one, or a part of it."""
    base = repository_path(given.repo)
    if given.number <= 0:
        found = await _page(api, f"{base}/pulls", page, state=given.state)
        return _listed(found, objects(await parsed(found.answer)), picks.PULL, page)
    if given.part == "overview":
        found = await ask(api, f"{base}/pulls/{given.number}")
        return One(found.answer, found.path, picked(await parsed(found.answer), picks.PULL_WHOLE))
    path, fields = _PARTS[given.part]
    found = await _page(api, f"{base}/{path.format(given.number)}", page)
    return _listed(found, objects(await parsed(found.answer)), fields, page)


async def runs(api: NodeApi, given: Runs, page: int) -> Finding:
    """List workflow runs, or the jobs of one with the steps that did not succeed."""
    base = f"{repository_path(given.repo)}/actions/runs"
    if given.run_id <= 0:
        named = {"branch": _short("branch", given.branch), "status": _short("status", given.status)}
        found = await _page(api, base, page, **named)
        return _listed(found, objects(_of(await parsed(found.answer), "workflow_runs")), picks.RUN, page)
    found = await _page(api, f"{base}/{given.run_id}/jobs", page)
    jobs = objects(_of(await parsed(found.answer), "jobs"))
    for job in jobs:
        steps = (step for step in objects(job.get("steps")) if step.get("conclusion") not in ("success", "skipped"))
        job["failed"] = [f"{step.get('name')}: {step.get('conclusion') or step.get('status')}" for step in steps]
    return _listed(found, jobs, (*picks.JOB, picks.Pick("unsuccessful_steps", ("failed",), "array")), page)


async def _page(api: NodeApi, path: str, page: int, **query: str) -> Finding:
    if page > MAX_PAGE:
        raise AskError("cursor: GitHub has no such page")
    named = {name: value for name, value in query.items() if value}
    numbered = {"page": page} if page > 1 else {}
    return await ask(api, f"{path}?{urlencode({**named, 'per_page': A_PAGE, **numbered})}")


def _listed(found: Finding, rows: list[Any], fields: Picks, page: int) -> Rows:
    shown = [picked(row, fields) for row in rows]
    return Rows(found.answer, found.path, shown, max(1, page), not has_next(found.answer))


def _short(name: str, text: str) -> str:
    if len(text) > MAX_TEXT:
        raise AskError(f"{name}: more than {MAX_TEXT} characters")
    return text


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _text(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise AskError(f"this is no text but {len(body)} bytes of another kind, which are not shown")
    return text


def _base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text)
    except (TypeError, ValueError, binascii.Error):
        raise AskError("GitHub gives no content for this file") from None


def _compact(value: Any) -> Any:
    """Return JSON without ids of other APIs and the links between API resources, which are half of most answers."""
    if isinstance(value, list):
        return [_compact(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = ((name, each) for name, each in value.items() if not _is_link(name))
    return {name: _compact(each) for name, each in kept}


def _is_link(name: str) -> bool:
    return name in _LINKS or name == "url" or (name.endswith("_url") and name not in ("html_url", "clone_url"))


def file_text(value: Any) -> str:
    """Return the text of a file that GitHub gave with its content.

    Raises:
        AskError: it is no file, no text, or larger than GitHub gives at once.
    """
    if _of(value, "type") != "file" or _of(value, "encoding") != "base64":
        raise AskError("this is no file that GitHub gives at once: the tool files reads it")
    return _text(_base64(_of(value, "content")))
