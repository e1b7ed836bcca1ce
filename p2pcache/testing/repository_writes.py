"""Handlers of POST, PATCH, PUT and DELETE in a repository, which change later answers."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from p2pcache.testing import changes, git_shapes, shapes
from p2pcache.testing.repository_reads import issue_of
from p2pcache.testing.routing import NOT_FOUND, Answer, Ask, Problem, Routes
from p2pcache.testing.world import Account, Asset, Comment, Issue, Label, Repository, blob_sha

routes = Routes()


def author_of(ask: Ask) -> Account:
    """Return the author of the caller's changes."""
    return ask.world.account(ask.viewer.token.login if ask.viewer.token else "ghost")


@routes.on("PATCH", "")
def edit_repository(ask: Ask, of: Repository) -> Answer:
    """Change name, description, visibility or default branch."""
    fields = ask.fields()
    if name := fields.get("name"):
        try:
            ask.world.rename(of, f"{of.owner.login}/{name}")
        except ValueError as problem:
            raise _invalid("Repository", "name", str(problem)) from None
    changes.edit_repository(ask.world, of, {key: fields[key] for key in changes.REPOSITORY_FIELDS if key in fields})
    return Answer(shapes.repository(of))


@routes.on("POST", "/issues")
def open_issue(ask: Ask, of: Repository) -> Answer:
    """Open an issue."""
    fields = ask.fields()
    title = _text(fields, "Issue", "title")
    made = changes.open_issue(ask.world, of, author_of(ask), title, fields.get("body"))
    made.labels = [_label(ask, of, name) for name in fields.get("labels", [])]
    shaped = shapes.issue(of, made)
    return Answer(shaped, 201, {"location": shaped["url"]})


@routes.on("PATCH", "/issues/{number}")
def edit_issue(ask: Ask, of: Repository, number: str) -> Answer:
    """Change title, body, state or labels of an issue."""
    one, fields = issue_of(of, number), ask.fields()
    if fields.get("state", "open") not in {"open", "closed"}:
        raise _invalid("Issue", "state")
    if "labels" in fields:
        one.labels = [_label(ask, of, name) for name in fields["labels"]]
    changes.edit_issue(ask.world, of, one, {key: fields[key] for key in changes.ISSUE_FIELDS if key in fields})
    return Answer(shapes.issue(of, one))


@routes.on("POST", "/issues/{number}/comments")
def add_comment(ask: Ask, of: Repository, number: str) -> Answer:
    """Add a comment."""
    on = issue_of(of, number)
    made = changes.add_comment(ask.world, of, on, author_of(ask), _text(ask.fields(), "IssueComment", "body"))
    shaped = shapes.comment(of, on, made)
    return Answer(shaped, 201, {"location": shaped["url"]})


@routes.on("PATCH", "/issues/comments/{number}")
def edit_comment(ask: Ask, of: Repository, number: str) -> Answer:
    """Change the text of a comment."""
    on, one = _comment(of, number)
    one.body, one.updated = _text(ask.fields(), "IssueComment", "body"), ask.world.now()
    return Answer(shapes.comment(of, on, one))


@routes.on("DELETE", "/issues/comments/{number}")
def delete_comment(ask: Ask, of: Repository, number: str) -> Answer:
    """Delete a comment."""
    on, one = _comment(of, number)
    on.comments.remove(one)
    on.updated = ask.world.now()
    return Answer(status=204)


@routes.on("POST", "/issues/{number}/labels")
def add_labels(ask: Ask, of: Repository, number: str) -> Answer:
    """Add labels to an issue."""
    one = issue_of(of, number)
    return _relabel(ask, of, one, one.labels + [_label(ask, of, name) for name in _names(ask)])


@routes.on("PUT", "/issues/{number}/labels")
def set_labels(ask: Ask, of: Repository, number: str) -> Answer:
    """Replace the labels of an issue."""
    return _relabel(ask, of, issue_of(of, number), [_label(ask, of, name) for name in _names(ask)])


@routes.on("DELETE", "/issues/{number}/labels/{name}")
def remove_label(ask: Ask, of: Repository, number: str, name: str) -> Answer:
    """Remove a label from an issue."""
    one = issue_of(of, number)
    kept = [label for label in one.labels if label.name.lower() != name.lower()]
    if kept == one.labels:
        raise Problem(404, "Label does not exist")
    return _relabel(ask, of, one, kept)


@routes.on("POST", "/labels")
def make_label(ask: Ask, of: Repository) -> Answer:
    """Create a label."""
    fields = ask.fields()
    name = _text(fields, "Label", "name")
    if of.label(name):
        raise Problem(
            422, "Validation Failed", errors=[{"resource": "Label", "code": "already_exists", "field": "name"}]
        )
    made = Label(ask.world.next_id(), name, fields.get("color", "ededed"), fields.get("description"))
    of.labels.append(made)
    shaped = shapes.label(of, made)
    return Answer(shaped, 201, {"location": shaped["url"]})


@routes.on("PATCH", "/labels/{name}")
def edit_label(ask: Ask, of: Repository, name: str) -> Answer:
    """Change name, colour or description of a label."""
    one, fields = _existing(of, name), ask.fields()
    one.name = fields.get("new_name", fields.get("name", one.name))
    one.color = fields.get("color", one.color)
    one.description = fields.get("description", one.description)
    return Answer(shapes.label(of, one))


@routes.on("DELETE", "/labels/{name}")
def delete_label(_ask: Ask, of: Repository, name: str) -> Answer:
    """Delete a label and remove it from issues."""
    one = _existing(of, name)
    of.labels.remove(one)
    for issue in of.issues:
        issue.labels = [label for label in issue.labels if label is not one]
    return Answer(status=204)


@routes.on("POST", "/releases/{number}/assets")
def upload_asset(ask: Ask, of: Repository, number: str) -> Answer:
    """Add a file to a release; GitHub has this at its host for uploads alone."""
    one = next((one for one in of.releases if str(one.id) == number), None)
    if one is None:
        raise Problem(*NOT_FOUND)
    name = ask.query.get("name", "")
    if not name or any(asset.name == name for asset in one.assets):
        raise _invalid("ReleaseAsset", "name", code="already_exists" if name else "missing_field")
    made = Asset(ask.world.next_id(), name, ask.body, ask.world.now(), author_of(ask))
    one.assets.append(made)
    shaped = git_shapes.asset(of, one, made)
    return Answer(shaped, 201, {"location": shaped["url"]})


@routes.on("PUT", "/contents/{path*}")
def put_file(ask: Ask, of: Repository, path: str) -> Answer:
    """Create or replace a file; a replacement needs the SHA of the old one."""
    fields = ask.fields()
    try:
        data = base64.b64decode(fields.get("content", ""))
    except (binascii.Error, TypeError):
        raise Problem(422, "content is not valid Base64") from None
    existed = path in of.files
    _expect_sha(of, path, fields.get("sha"))
    message = _text(fields, "Commit", "message")
    made = ask.world.commit_files(of, author_of(ask), message, {**of.files, path: data})
    shaped = git_shapes.content(of, path, data, of.default_branch)
    return Answer(
        {"content": shaped, "commit": git_shapes.git_commit(of, made) | {"sha": made.sha}}, 200 if existed else 201
    )


@routes.on("DELETE", "/contents/{path*}")
def delete_file(ask: Ask, of: Repository, path: str) -> Answer:
    """Delete a file by its SHA."""
    if path not in of.files:
        raise Problem(*NOT_FOUND)
    fields = ask.fields() if ask.body else dict(ask.query)
    _expect_sha(of, path, fields.get("sha"))
    kept = {name: data for name, data in of.files.items() if name != path}
    made = ask.world.commit_files(of, author_of(ask), _text(fields, "Commit", "message"), kept)
    return Answer({"content": None, "commit": git_shapes.git_commit(of, made) | {"sha": made.sha}})


def _expect_sha(of: Repository, path: str, given: object) -> None:
    if path not in of.files:
        return
    if given is None:
        raise Problem(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if given != blob_sha(of.files[path]):
        raise Problem(409, f"{path} does not match {given}")


def _relabel(ask: Ask, of: Repository, one: Issue, labels: list[Label]) -> Answer:
    one.labels = list(dict.fromkeys(labels))
    one.updated = ask.world.now()
    return Answer([shapes.label(of, label) for label in one.labels])


def _names(ask: Ask) -> list[str]:
    names = ask.fields().get("labels")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _invalid("Label", "labels")
    return names


def _label(ask: Ask, of: Repository, name: str) -> Label:
    if found := of.label(name):
        return found
    made = Label(ask.world.next_id(), name)
    of.labels.append(made)
    return made


def _existing(of: Repository, name: str) -> Label:
    if found := of.label(name):
        return found
    raise Problem(*NOT_FOUND)


def _comment(of: Repository, number: str) -> tuple[Issue, Comment]:
    for on in of.issues:
        for one in on.comments:
            if str(one.id) == number:
                return on, one
    raise Problem(*NOT_FOUND)


def _text(fields: dict[str, Any], resource: str, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise _invalid(resource, name, code="missing_field")
    return value


def _invalid(resource: str, field: str, message: str | None = None, code: str = "invalid") -> Problem:
    error = {"resource": resource, "code": code, "field": field}
    return Problem(422, "Validation Failed", errors=[error | ({"message": message} if message else {})])
