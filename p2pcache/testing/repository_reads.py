"""Handlers of GET in a repository: itself, issues, pull requests, labels.

Templates leave out ``/repos/{owner}/{repo}``: `dispatch` has resolved it.
"""

from __future__ import annotations

import hashlib

from p2pcache.testing import git_shapes, shapes
from p2pcache.testing.routing import NOT_FOUND, Answer, Ask, Problem, Routes, repository_page
from p2pcache.testing.world import Issue, Repository

routes = Routes()

EMPTY_LISTS = ("milestones", "deployments", "forks", "stargazers", "subscribers", "hooks", "keys", "autolinks")


def issue_of(repository: Repository, number: str) -> Issue:
    """Return an issue or pull request, or 404."""
    found = repository.issue(int(number)) if number.isdecimal() else None
    if found is None:
        raise Problem(*NOT_FOUND)
    return found


@routes.on("GET", "")
def repository(_ask: Ask, of: Repository) -> Answer:
    """Return the repository itself; it has a Last-Modified."""
    return Answer(shapes.repository(of), modified=of.touched)


@routes.on("GET", "/issues")
def issues(ask: Ask, of: Repository) -> Answer:
    """Return issues and pull requests, newest first, by default the open ones."""
    wanted = set(filter(None, ask.query.get("labels", "").lower().split(",")))
    labelled = [one for one in of.issues if wanted <= {label.name.lower() for label in one.labels}]
    return repository_page(ask, of, _in_state(ask, labelled), shapes.issue)


@routes.on("GET", "/issues/{number}")
def issue(_ask: Ask, of: Repository, number: str) -> Answer:
    """Return one issue."""
    return Answer(shapes.issue(of, issue_of(of, number)))


@routes.on("GET", "/issues/{number}/comments")
def comments(ask: Ask, of: Repository, number: str) -> Answer:
    """Return its comments, oldest first."""
    on = issue_of(of, number)
    return repository_page(ask, of, on.comments, lambda _, one: shapes.comment(of, on, one))


@routes.on("GET", "/issues/{number}/events")
def issue_events(ask: Ask, of: Repository, number: str) -> Answer:
    """Return its events: that each of its labels was added."""
    on = issue_of(of, number)
    return repository_page(ask, of, on.labels, lambda _, one: shapes.labelled(of, on, one))


@routes.on("GET", "/issues/comments/{number}")
def comment(_ask: Ask, of: Repository, number: str) -> Answer:
    """Return one comment, by id."""
    for on in of.issues:
        for one in on.comments:
            if str(one.id) == number:
                return Answer(shapes.comment(of, on, one))
    raise Problem(*NOT_FOUND)


@routes.on("GET", "/issues/{number}/labels")
def issue_labels(ask: Ask, of: Repository, number: str) -> Answer:
    """Return the labels of an issue."""
    return repository_page(ask, of, issue_of(of, number).labels, shapes.label)


@routes.on("GET", "/labels")
def labels(ask: Ask, of: Repository) -> Answer:
    """Return the labels of the repository."""
    return repository_page(ask, of, of.labels, shapes.label)


@routes.on("GET", "/labels/{name}")
def label(_ask: Ask, of: Repository, name: str) -> Answer:
    """Return one label."""
    if found := of.label(name):
        return Answer(shapes.label(of, found))
    raise Problem(*NOT_FOUND)


@routes.on("GET", "/pulls")
def pulls(ask: Ask, of: Repository) -> Answer:
    """Return pull requests, newest first, by default the open ones."""
    return repository_page(ask, of, _in_state(ask, [one for one in of.issues if one.head]), shapes.pull)


@routes.on("GET", "/installation")
def installation(ask: Ask, of: Repository) -> Answer:
    """Return the App's installation."""
    if ask.viewer.token is None or ask.viewer.token.kind != "app":
        raise Problem(401, "A JSON web token could not be decoded")
    return Answer({"id": of.id, "account": shapes.account(of.owner), "repository_selection": "all"})


@routes.on("GET", "/pulls/{number}")
def pull(ask: Ask, of: Repository, number: str) -> Answer:
    """Return one pull request, as JSON, diff or patch; it has a Last-Modified."""
    one = issue_of(of, number)
    if not one.head:
        raise Problem(*NOT_FOUND)
    if as_text := git_shapes.text(ask, of, of.commits[0]):
        as_text.modified = of.touched
        return as_text
    return Answer(shapes.pull(of, one), modified=of.touched)


@routes.on("GET", "/pulls/{number}/files")
def pull_files(ask: Ask, of: Repository, number: str) -> Answer:
    """Return the files that a pull request changes: the same one in all."""
    if not issue_of(of, number).head:
        raise Problem(*NOT_FOUND)
    return repository_page(ask, of, [path for path in of.files if path == "CHANGES"], git_shapes.changed_file)


@routes.on("GET", "/contributors")
def contributors(ask: Ask, of: Repository) -> Answer:
    """Return the authors of commits."""
    authors = list(dict.fromkeys(one.author for one in of.commits))
    return repository_page(ask, of, authors, lambda _, one: shapes.account(one))


@routes.on("GET", "/languages")
def languages(_ask: Ask, of: Repository) -> Answer:
    """Return bytes by language."""
    return Answer({"Python": sum(len(data) for path, data in of.files.items() if path.endswith(".py"))})


@routes.on("GET", "/events")
def events(_ask: Ask, of: Repository) -> Answer:
    """Return pushes, with GitHub's polling interval."""
    pushed = [{"id": one.sha, "type": "PushEvent", "repo": {"id": of.id, "name": of.full_name}} for one in of.commits]
    opaque = hashlib.sha256(f"feed of {of.id} at {of.touched}".encode()).hexdigest()  # follows no known rule
    return Answer(pushed, headers={"x-poll-interval": "60"}, tag=opaque)


def _empty(_ask: Ask, of: Repository) -> Answer:  # noqa: ARG001 - a handler like the others
    return Answer([])


for _name in EMPTY_LISTS:
    routes.on("GET", f"/{_name}")(_empty)


def _in_state(ask: Ask, issues: list[Issue]) -> list[Issue]:
    state = ask.query.get("state", "open")
    return [one for one in issues if state in {one.state, "all"}]
