"""``POST /graphql``: graphql-core over the synthetic data."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

from p2pcache.testing import changes, graphql_views
from p2pcache.testing.quota import Bucket
from p2pcache.testing.reads import matching_issues, visible
from p2pcache.testing.routing import Answer, Ask, Problem
from p2pcache.testing.world import Account, Issue, Repository, node_id, stamp

if TYPE_CHECKING:
    from graphql import GraphQLError, GraphQLSchema

View = graphql_views.View
FEATURE = "issue_fields"
"""The one that a request's ``GraphQL-Features`` has to name for `_GATED`."""
_GATED = re.compile(r"\b[iI]ssueFieldValue\w*")


class _NotFoundError(Exception):
    """A named object does not exist or is not visible to the viewer."""


def answer(ask: Ask, bucket: Bucket) -> Answer:
    """Return the result of one operation: always with status 200 and without validators, as at GitHub."""
    from graphql import GraphQLSyntaxError, execute_sync, parse, validate

    fields = ask.fields()
    document = fields.get("query")
    if not isinstance(document, str):
        raise Problem(400, "A query attribute must be specified and must be a string.")
    schema = _schema()
    try:
        parsed = parse(document)
    except GraphQLSyntaxError as problem:
        return _answer({"errors": [_error(problem)]})
    if problems := validate(schema, parsed, _rules()):
        return _answer({"errors": [_error(problem) for problem in problems]})
    if FEATURE not in ask.features and (gated := _GATED.search(document)):
        return _answer({"errors": [{"message": f"'{gated[0]}' needs a feature that the request does not name"}]})
    roots = _query(ask, bucket) | _mutation(ask)
    result = execute_sync(
        schema, parsed, roots, variable_values=fields.get("variables"), operation_name=fields.get("operationName")
    )
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [_error(problem) for problem in result.errors]
    return _answer(body)


def limited(identity: str) -> Answer:
    """Return GitHub's answer beyond the limit: status 200 with an error in the body."""
    message = f"API rate limit exceeded for {identity}."
    return _answer({"errors": [{"type": "RATE_LIMITED", "message": message}]})


def _answer(body: dict[str, Any]) -> Answer:
    return Answer(body, headers={"cache-control": "no-cache"}, tag=None)


@functools.cache
def _schema() -> GraphQLSchema:
    from graphql import build_schema

    return build_schema(resources.files("p2pcache.testing").joinpath("schema.graphql").read_text())


def _rules() -> list[Any]:
    # gh selects `state` of an issue and of a pull request under one name; GitHub accepts that, unlike the standard.
    from graphql import OverlappingFieldsCanBeMergedRule, specified_rules

    return [rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule]


def _error(problem: GraphQLError) -> dict[str, Any]:
    shaped: dict[str, Any] = dict(problem.formatted)
    return {"type": "NOT_FOUND", **shaped} if isinstance(problem.original_error, _NotFoundError) else shaped


def _query(ask: Ask, bucket: Bucket) -> View:
    def repository(_info: object, owner: str, name: str, **_: Any) -> View:
        found = ask.world.named(f"{owner}/{name}")
        if found is None or not ask.viewer.may_read(found):
            raise _NotFoundError(f"Could not resolve to a Repository with the name '{owner}/{name}'.")
        return graphql_views.repository(ask, found)

    def owner(kind: str | None) -> Any:
        def resolve(_info: object, login: str) -> View | None:
            found = ask.world.accounts.get(login.lower())
            return graphql_views.account(ask, found) if found and kind in {None, found.kind} else None

        return resolve

    def node(_info: object, id: str) -> View:  # noqa: A002 - GraphQL's name
        return graphql_views.issue(ask, *_subject(ask, id))

    return {
        "node": node,
        "viewer": lambda _info: graphql_views.account(ask, _me(ask)),
        "repository": repository,
        "repositoryOwner": owner(None),
        "organization": owner("Organization"),
        "user": owner("User"),
        "search": functools.partial(_search, ask),
        "rateLimit": lambda _info, **_: _rate_limit(bucket),
    }


def _search(ask: Ask, info: object, query: str, first: int | None = None, last: int | None = None, **more: Any) -> View:
    more["after"] = more.get("after")
    size = first if first is not None else last  # gh uses `last` N in a search for the best N
    if more.pop("type") == "REPOSITORY":
        words = [word for word in query.lower().split() if ":" not in word]
        found = [one for one in visible(ask.world, ask.viewer) if all(word in one.full_name.lower() for word in words)]
        return graphql_views.connection(found, lambda one: graphql_views.repository(ask, one))(info, size, **more)
    pairs = matching_issues(ask.world, ask.viewer, query)
    return graphql_views.connection(pairs, lambda pair: graphql_views.issue(ask, *pair))(info, size, **more)


def _rate_limit(bucket: Bucket) -> View:
    status = bucket.status()
    return {**status, "cost": 1, "resetAt": stamp(datetime.fromtimestamp(status["reset"], UTC))}


def _mutation(ask: Ask) -> View:
    def create(_info: object, input: View) -> View:  # noqa: A002 - GraphQL's name
        of = next((one for one in visible(ask.world, ask.viewer) if _id(one) == input["repositoryId"]), None)
        if of is None:
            raise _NotFoundError(f"Could not resolve to a node with the global id of '{input['repositoryId']}'")
        _check_may_write(ask, of)
        made = changes.open_issue(ask.world, of, _me(ask), input["title"], input.get("body"))
        return {"issue": graphql_views.issue(ask, of, made)}

    def turn(state: str) -> Any:
        def resolve(_info: object, input: View) -> View:  # noqa: A002 - GraphQL's name
            of, one = _subject(ask, input["issueId"])
            _check_may_write(ask, of)
            changes.edit_issue(ask.world, of, one, {"state": state})
            return {"issue": graphql_views.issue(ask, of, one)}

        return resolve

    def add_comment(_info: object, input: View) -> View:  # noqa: A002 - GraphQL's name
        of, one = _subject(ask, input["subjectId"])
        _check_may_write(ask, of)
        made = changes.add_comment(ask.world, of, one, _me(ask), input["body"])
        return {"commentEdge": {"cursor": "", "node": graphql_views.comment(ask, of, one, made)}}

    return {
        "createIssue": create,
        "closeIssue": turn("closed"),
        "reopenIssue": turn("open"),
        "addComment": add_comment,
    }


def _me(ask: Ask) -> Account:
    return ask.world.account(ask.viewer.token.login if ask.viewer.token else "ghost")


def _subject(ask: Ask, wanted: str) -> tuple[Repository, Issue]:
    for of in visible(ask.world, ask.viewer):
        for one in of.issues:
            if node_id("PullRequest" if one.head else "Issue", one.id) == wanted:
                return of, one
    raise _NotFoundError(f"Could not resolve to a node with the global id of '{wanted}'")


def _check_may_write(ask: Ask, of: Repository) -> None:
    if not ask.viewer.may_write(of):
        raise PermissionError("Resource not accessible by integration")


def _id(of: Repository) -> str:
    return node_id("Repository", of.id)
