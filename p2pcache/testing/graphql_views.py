"""GraphQL views of the world: dicts from field names to values or to callables of a field's arguments."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from p2pcache.testing.reads import visible
from p2pcache.testing.routing import Ask
from p2pcache.testing.shapes import WEB
from p2pcache.testing.world import Account, Comment, Issue, Label, Release, Repository, node_id, stamp

View = dict[str, Any]
MAX_PAGE = 100


def connection(
    items: Iterable[Any], view: Callable[[Any], View], keep: Callable[..., Callable[[Any], bool]] | None = None
) -> Callable[..., View]:
    """Return the resolver of a Relay connection; `keep` turns the field's other arguments into a filter."""

    def resolve(
        _info: object,
        first: int | None = None,
        last: int | None = None,
        after: str | None = None,
        before: str | None = None,  # noqa: ARG001 - in the schema for completeness; no client sends it
        **arguments: Any,
    ) -> View:
        wanted = list(filter(keep(**arguments), items)) if keep else list(items)
        start = _position(after)
        if last is not None and first is None:
            start = max(start, len(wanted) - min(last, MAX_PAGE))
        end = min(len(wanted), start + min(MAX_PAGE if first is None else first, MAX_PAGE))
        page_info = {
            "hasNextPage": end < len(wanted),
            "hasPreviousPage": start > 0,
            "startCursor": _cursor(start) if end > start else None,
            "endCursor": _cursor(end) if end > start else None,
        }
        total = len(wanted)
        counts = {"totalCount": total, "issueCount": total, "repositoryCount": total}
        return {"nodes": [view(one) for one in wanted[start:end]], "pageInfo": page_info, **counts}

    return resolve


def account(ask: Ask, one: Account) -> View:
    """Return a user or organization."""
    theirs = visible(ask.world, ask.viewer, one)
    return {
        "__typename": one.kind,
        "id": one.node_id,
        "databaseId": one.id,
        "login": one.login,
        "name": one.login.title(),
        "url": f"{WEB}/{one.login}",
        "avatarUrl": f"https://avatars.githubusercontent.com/u/{one.id}?v=4",
        "repositories": connection(theirs, lambda repo: repository(ask, repo), _of_privacy),
    }


def repository(ask: Ask, of: Repository) -> View:
    """Return a repository."""
    pulls = [one for one in of.issues if one.head]
    issues = [one for one in of.issues if not one.head]

    def numbered(among: list[Issue]) -> Callable[..., View | None]:
        return lambda _info, number: next((issue(ask, of, one) for one in among if one.number == number), None)

    return {
        "__typename": "Repository",
        "id": node_id("Repository", of.id),
        "databaseId": of.id,
        "name": of.name,
        "nameWithOwner": of.full_name,
        "owner": lambda _info: account(ask, of.owner),
        "description": of.description,
        "url": f"{WEB}/{of.full_name}",
        "sshUrl": f"git@github.com:{of.full_name}.git",
        **dict.fromkeys(("isFork", "isArchived", "isEmpty", "hasWikiEnabled", "hasProjectsEnabled"), False),
        **dict.fromkeys(("mergeCommitAllowed", "rebaseMergeAllowed", "squashMergeAllowed", "hasIssuesEnabled"), True),
        "isPrivate": of.private,
        "visibility": "PRIVATE" if of.private else "PUBLIC",
        "createdAt": stamp(of.created),
        "updatedAt": stamp(of.updated),
        "pushedAt": stamp(of.commits[0].at),
        "viewerPermission": "WRITE" if ask.viewer.may_write(of) else "READ",
        "stargazerCount": 0,
        "forkCount": 0,
        "defaultBranchRef": _default_branch(of),
        "issues": connection(issues, lambda one: issue(ask, of, one), _among_issues),
        "pullRequests": connection(pulls, lambda one: issue(ask, of, one), _among_pulls),
        "issue": numbered(issues),
        "pullRequest": numbered(pulls),
        "issueOrPullRequest": numbered(of.issues),
        "releases": connection(of.releases, lambda one: release(of, one)),
        "latestRelease": release(of, of.releases[0]) if of.releases else None,
        "labels": connection(of.labels, label, _by_name),
    }


def issue(ask: Ask, of: Repository, one: Issue) -> View:
    """Return an issue or a pull request."""
    nothing = connection((), dict)
    view: View = {
        "__typename": "PullRequest" if one.head else "Issue",
        "id": node_id("PullRequest" if one.head else "Issue", one.id),
        "databaseId": one.id,
        "number": one.number,
        "title": one.title,
        "url": f"{WEB}/{of.full_name}/{'pull' if one.head else 'issues'}/{one.number}",
        "state": one.state.upper(),
        "stateReason": "COMPLETED" if one.closed else None,
        "closed": one.closed is not None,
        "closedAt": stamp(one.closed) if one.closed else None,
        "body": one.body or "",
        "author": account(ask, one.author),
        "createdAt": stamp(one.created),
        "updatedAt": stamp(one.updated),
        "labels": connection(one.labels, label),
        "comments": connection(one.comments, lambda each: comment(ask, of, one, each)),
        "assignees": nothing,
        "projectCards": nothing,
        "issueFieldValues": nothing,
        "reactionGroups": [],
        "repository": lambda _info: repository(ask, of),
    }
    return view | _pull(ask, of, one) if one.head else view


def comment(ask: Ask, of: Repository, on: Issue, one: Comment) -> View:
    """Return a comment."""
    token = ask.viewer.token
    return {
        "id": node_id("IssueComment", one.id),
        "author": account(ask, one.author),
        "authorAssociation": "MEMBER",
        "body": one.body,
        "createdAt": stamp(one.created),
        "includesCreatedEdit": one.updated != one.created,
        "isMinimized": False,
        "reactionGroups": [],
        "url": f"{WEB}/{of.full_name}/issues/{on.number}#issuecomment-{one.id}",
        "viewerDidAuthor": token is not None and token.login == one.author.login,
    }


def label(one: Label) -> View:
    """Return a label."""
    return {
        "id": node_id("Label", one.id),
        "name": one.name,
        "color": one.color,
        "description": one.description,
    }


def release(of: Repository, one: Release) -> View:
    """Return a release."""
    return {
        "id": node_id("Release", one.id),
        "name": f"Release {one.tag}",
        "tagName": one.tag,
        "isDraft": False,
        "isLatest": one is of.releases[0],
        "isPrerelease": False,
        "createdAt": stamp(one.at),
        "publishedAt": stamp(one.at),
        "url": f"{WEB}/{of.full_name}/releases/tag/{one.tag}",
        "description": f"What is new in {one.tag}",
    }


def _pull(ask: Ask, of: Repository, one: Issue) -> View:
    nothing = connection((), dict)
    tip = {"commit": {"oid": of.commits[0].sha, "message": of.commits[0].message, "statusCheckRollup": None}}
    return {
        "headRefName": one.head,
        "baseRefName": of.default_branch,
        "headRepository": lambda _info: repository(ask, of),
        "headRepositoryOwner": lambda _info: account(ask, of.owner),
        "isCrossRepository": False,
        "isDraft": False,
        "maintainerCanModify": False,
        "mergeable": "MERGEABLE",
        "additions": 1,
        "deletions": 0,
        "changedFiles": 1,
        "commits": connection((tip,), dict),
        "reviews": nothing,
        "reviewRequests": nothing,
    }


def _default_branch(of: Repository) -> View:
    target = {"__typename": "Commit", "oid": of.commits[0].sha, "message": of.commits[0].message}
    return {"name": of.default_branch, "prefix": "refs/heads/", "target": target}


def _of_privacy(privacy: str | None = None, **_: Any) -> Callable[[Repository], bool]:
    return lambda one: privacy is None or one.private == (privacy == "PRIVATE")


def _among_issues(
    states: list[str] | None = None,
    labels: list[str] | None = None,
    filterBy: View | None = None,  # noqa: N803 - GraphQL's name
    **_: Any,
) -> Callable[[Issue], bool]:
    author = (filterBy or {}).get("createdBy")
    assignee = (filterBy or {}).get("assignee")
    in_state = _in_state(states, labels)
    return lambda one: in_state(one) and author in {None, one.author.login} and assignee is None


def _among_pulls(
    states: list[str] | None = None,
    labels: list[str] | None = None,
    headRefName: str | None = None,  # noqa: N803 - GraphQL's name
    **_: Any,
) -> Callable[[Issue], bool]:
    in_state = _in_state(states, labels)
    return lambda one: in_state(one) and headRefName in {None, one.head}


def _in_state(states: list[str] | None, labels: list[str] | None) -> Callable[[Issue], bool]:
    wanted = set(labels or ())
    return lambda one: (not states or one.state.upper() in states) and wanted <= {each.name for each in one.labels}


def _by_name(query: str | None = None, **_: Any) -> Callable[[Label], bool]:
    return lambda one: (query or "").lower() in one.name.lower()


def _cursor(position: int) -> str:
    return base64.b64encode(f"cursor:{position}".encode()).decode()


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("cursor:"))
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ValueError(f"`{cursor}` does not appear to be a valid cursor.") from None
