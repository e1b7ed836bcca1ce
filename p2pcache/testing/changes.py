"""Changes to the world, shared by REST, GraphQL and the control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2pcache.testing.world import Account, Comment, Issue, Repository, World

REPOSITORY_FIELDS = ("description", "private", "default_branch")
ISSUE_FIELDS = ("title", "body", "state")


def edit_repository(world: World, of: Repository, fields: Mapping[str, Any]) -> None:
    """Set some of `REPOSITORY_FIELDS`.

    Raises:
        ValueError: another field.
    """
    _check(fields, REPOSITORY_FIELDS, "a repository")
    for name, value in fields.items():
        setattr(of, name, value)
    of.updated = of.touched = world.now()


def open_issue(world: World, of: Repository, author: Account, title: str, body: str | None = None) -> Issue:
    """Add an issue, first in the lists."""
    at = world.now()
    number = max((one.number for one in of.issues), default=0) + 1
    made = Issue(world.next_id(), number, title, author, at, at, body)
    of.issues.insert(0, made)
    of.touched = at
    return made


def edit_issue(world: World, of: Repository, one: Issue, fields: Mapping[str, Any]) -> None:
    """Set some of `ISSUE_FIELDS`; `state` is ``open`` or ``closed``.

    Raises:
        ValueError: another field.
    """
    _check(fields, ISSUE_FIELDS, "an issue")
    at = world.now()
    for name, value in fields.items():
        if name == "state":
            one.closed = at if value == "closed" else None
        else:
            setattr(one, name, value)
    one.updated = of.touched = at


def add_comment(world: World, of: Repository, on: Issue, author: Account, body: str) -> Comment:
    """Add a comment, last on its issue."""
    at = world.now()
    made = Comment(world.next_id(), body, author, at, at)
    on.comments.append(made)
    on.updated = of.touched = at
    return made


def _check(fields: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for name in fields:
        if name not in known:
            raise ValueError(f"{name!r} of {what} cannot be edited; can be: {', '.join(known)}")
