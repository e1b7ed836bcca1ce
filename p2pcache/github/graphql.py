"""GraphQL: which POSTs are reads, when two are equal, and what a mutation may have changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from p2pcache.github.writes import ALL, mutation_drops, query_topics

if TYPE_CHECKING:
    from graphql import FieldNode, OperationDefinitionNode

MAX_DOCUMENT = 32 * 1024
"""Characters of the longest parsed document; gh's largest are about 4 KiB."""

MAX_TOKENS = 4 * 1024
MAX_DEPTH = 40
"""Nested brackets; the parser recurses about six frames for each."""

MAX_NAMED = 32
"""Repositories in a mutation and its answer; more than that count as all."""

_BRACKETS = {"{": 1, "[": 1, "(": 1, "}": -1, "]": -1, ")": -1}
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
_NAME = b"(%s)" % _REPOSITORY.pattern.encode()
# Quotes inside a JSON string are escaped, so these match keys only. `resourcePath` starts with the owner.
_NAMED = (
    re.compile(rb'"(?:n|repositoryN)ameWithOwner"\s*:\s*"' + _NAME + b'"'),
    re.compile(rb'"(?:url|permalink|resourcePath)"\s*:\s*"(?:https?://[^/"\\]+)?/' + _NAME + rb'[/"#?]'),
)


# Mutations that move or rename: the answer contains only the new name.
_MOVES = re.compile(rb"\b(?:transfer|convert|updateRepository|move|rename)\w*\s*\(")
# Fields whose REST operations the table marks as dependent on the token.
_PER_TOKEN = re.compile(
    rb"vulnerabilityAlert|collaborators|ProtectionRule|ruleset|deployKeys|invitations|\brelease", re.IGNORECASE
)


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815 (the name on the wire)


@dataclass(frozen=True, slots=True)
class GraphQLRead:
    """A query. Requests with equal digests have equal answers; `operation` is its name or ""."""

    digest: str
    topics: tuple[str, ...]
    operation: str


@dataclass(frozen=True, slots=True)
class GraphQLWrite:
    """A mutation or subscription, or what could be one."""

    operation: str


@dataclass(frozen=True, slots=True)
class GraphQLOdd:
    """A body that the cache bypasses; `reason` is for people and contains nothing of the body."""

    reason: str


def read(body: bytes) -> GraphQLRead | GraphQLWrite | GraphQLOdd:
    """Classify the body of ``POST /graphql``. Never raises; bounded in time and depth for any body.

    An unreadable body that contains the word mutation counts as a write: invalidating too much is safe.
    """
    found = _read(body)
    if isinstance(found, GraphQLOdd) and b"mutation" in body:
        return GraphQLWrite("")
    return found


def per_token(body: bytes) -> bool:
    """Return whether an answer may depend on the token's permissions; without proofs it is not shared."""
    return _PER_TOKEN.search(body) is not None


def keepable(body: bytes) -> bool:
    """Return whether an answer (HTTP 200) may be cached: it has data and no errors, not even partial ones."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return "errors" not in answer and bytes(answer.get("data", b"null")) != b"null"


def drops(request_body: bytes, response_body: bytes) -> tuple[str, ...]:
    """Return the topics that a mutation may have changed, from the repositories in it and its answer, else `ALL`."""
    if not keepable(response_body) or _MOVES.search(request_body):
        return (ALL,)
    bodies = (request_body, response_body)
    names: dict[str, None] = {}
    for match in (match for body in bodies for named in _NAMED for match in named.finditer(body)):
        names[match[1].decode()] = None
        if len(names) > MAX_NAMED:
            return (ALL,)
    return mutation_drops(tuple(names))


def _read(body: bytes) -> GraphQLRead | GraphQLWrite | GraphQLOdd:
    try:
        asked = msgspec.json.decode(body, type=_Body)
        variables = msgspec.json.encode(asked.variables or {}, order="deterministic")
    except (msgspec.DecodeError, RecursionError):
        return GraphQLOdd("not one JSON object with a query")
    if len(asked.query) > MAX_DOCUMENT or _depth(asked.query) > MAX_DEPTH:
        return GraphQLOdd("document too large")
    return _parsed(asked, variables)


def _parsed(asked: _Body, variables: bytes) -> GraphQLRead | GraphQLWrite | GraphQLOdd:
    # Costs 100 ms to import, and a node that only sees REST never needs it.
    from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse, print_ast

    try:
        document = parse(asked.query, no_location=True, max_tokens=MAX_TOKENS)
    except GraphQLError:
        return GraphQLOdd("syntax error")
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if asked.operationName is not None:
        operations = [node for node in operations if node.name and node.name.value == asked.operationName]
    if len(operations) != 1:
        return GraphQLOdd("no single operation")
    operation = operations[0]
    name = operation.name.value if operation.name else ""
    if operation.operation is not OperationType.QUERY:
        return GraphQLWrite(name)
    fields = _root_fields(operation)
    if fields and all(field.name.value == "rateLimit" for field in fields):
        return GraphQLOdd("the quota itself")
    repositories = _repositories(fields, asked.variables or {})
    digest = _digest(print_ast(document).encode("utf-8", "surrogatepass"), variables, asked.operationName)
    return GraphQLRead(digest, query_topics(repositories), name)


def _depth(document: str) -> int:
    """Return the depth of nested brackets, including those in strings and comments."""
    depth = deepest = 0
    for bracket in re.findall(r"[][(){}]", document):
        depth += _BRACKETS[bracket]
        deepest = max(deepest, depth)
    return deepest


def _digest(document: bytes, variables: bytes, operation: str | None) -> str:
    name = b"-" if operation is None else b"+" + operation.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256()
    for part in (document, variables, name):
        digest.update(b"%d:%s" % (len(part), part))
    return digest.hexdigest()


def _root_fields(operation: OperationDefinitionNode) -> list[FieldNode] | None:
    """Return the top-level fields of a query; None if a fragment hides some of them."""
    from graphql import FieldNode

    selections = operation.selection_set.selections
    fields = [selection for selection in selections if isinstance(selection, FieldNode)]
    return fields if len(fields) == len(selections) else None


def _repositories(fields: list[FieldNode] | None, variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the repositories of a query whose top-level fields are repositories only, else ()."""
    names = []
    for field in fields or ():
        if field.name.value in {"rateLimit", "__typename"}:
            continue
        arguments = {argument.name.value: _value(argument.value, variables) for argument in field.arguments or ()}
        owner, name = arguments.get("owner"), arguments.get("name")
        whole = f"{owner}/{name}" if isinstance(owner, str) and isinstance(name, str) else ""
        if field.name.value != "repository" or not _REPOSITORY.fullmatch(whole):
            return ()
        names.append(whole)
    return tuple(dict.fromkeys(names))


def _value(node: object, variables: Mapping[str, Any]) -> object:
    from graphql import StringValueNode, VariableNode

    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    return node.value if isinstance(node, StringValueNode) else None
