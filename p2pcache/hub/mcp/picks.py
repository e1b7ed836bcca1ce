"""The fields that answers have: what is taken from GitHub's JSON, how long it may be, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from p2pcache.hub.mcp.untrusted import visible

SHORT = 300
"""Characters of a text without a bound of its own."""
_KINDS = {"i": "integer", "b": "boolean", "a": "array"}
MOST_OF_AN_ARRAY = 20


class Pick(NamedTuple):
    """One field: its name here, where GitHub has it, its JSON type, and how many characters of a text are shown."""

    name: str
    path: tuple[str, ...]
    kind: str = "string"
    most: int = SHORT


Picks = tuple[Pick, ...]


def picks(text: str) -> Picks:
    """Parse ``name=path.in.json:kind``, separated by spaces; the kind is i, b, a (strings), or a number of characters.

    Without a path it is the name; without a kind the field is a text of `SHORT` characters.
    """
    return tuple(map(_pick, text.split()))


def _pick(word: str) -> Pick:
    name, _, kind = word.partition(":")
    name, _, path = name.partition("=")
    where = tuple((path or name).split("."))
    return Pick(name, where, most=int(kind)) if kind.isdecimal() else Pick(name, where, _KINDS.get(kind, "string"))


def picked(value: Any, wanted: Picks) -> dict[str, Any]:
    """Return the wanted fields of a JSON object; those that are missing, null or of another type are left out."""
    found: dict[str, Any] = {}
    for pick in wanted if isinstance(value, Mapping) else ():
        each = _at(value, pick.path)
        match each:
            case bool() if pick.kind == "boolean":
                found[pick.name] = each
            case int() if pick.kind == "integer" and not isinstance(each, bool):
                found[pick.name] = each
            case str() if pick.kind == "string":
                found[pick.name] = shortened(visible(each), pick.most)
            case list() if pick.kind == "array":
                texts = (text for text in each if isinstance(text, str))
                found[pick.name] = [shortened(visible(text), SHORT) for text in texts][:MOST_OF_AN_ARRAY]
    return found


def schema(wanted: Picks) -> dict[str, Any]:
    """Return the JSON Schema of what `picked` returns."""
    properties = {pick.name: {"type": pick.kind} for pick in wanted}
    return {"type": "object", "properties": properties}


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters, and how many more there are."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} more characters)"


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if isinstance(value, list):
            value = [_at(each, (key,)) for each in value]
        elif isinstance(value, Mapping):
            value = value.get(key)
        else:
            return None
    return value


REPOSITORY = picks(
    "full_name description:500 private:b archived:b fork:b default_branch language topics:a stars=stargazers_count:i"
    " forks=forks_count:i open_issues=open_issues_count:i license=license.spdx_id pushed_at url=html_url"
)
FOUND_REPOSITORY = picks("full_name description language stars=stargazers_count:i pushed_at")
ISSUE = picks("number:i title state author=user.login labels=labels.name:a comments:i updated_at body:150")
ISSUE_WHOLE = picks(
    "number:i title state state_reason author=user.login labels=labels.name:a assignees=assignees.login:a"
    " milestone=milestone.title comments:i created_at updated_at closed_at url=html_url body:4000"
)
COMMENT = picks("id:i author=user.login created_at state path line:i body:1500")
PULL = picks("number:i title state draft:b author=user.login head=head.ref base=base.ref updated_at body:150")
PULL_WHOLE = picks(
    "number:i title state draft:b merged:b mergeable:b mergeable_state author=user.login head=head.ref"
    " head_sha=head.sha base=base.ref commits:i additions:i deletions:i changed_files:i comments:i"
    " labels=labels.name:a created_at updated_at merged_at url=html_url body:4000"
)
CHANGED_FILE = picks("filename status additions:i deletions:i patch:1500")
COMMIT = picks("sha author=commit.author.name date=commit.author.date message=commit.message:400")
ENTRY = picks("name type size:i path")
FOUND_CODE = picks("repository=repository.full_name path sha")
RUN = picks(
    "id:i name run_number:i event status conclusion branch=head_branch sha=head_sha title=display_title created_at"
)
JOB = picks("id:i name status conclusion started_at completed_at runner=runner_name")
STATS = picks(
    "requests:i misses:i revalidated:i bypassed:i api_calls_saved:i scope version=node.version"
    " upstream=node.upstream degraded=node.degraded:a"
)
PEER = picks("peer_id address direction via state reason bytes_in:i bytes_out:i")
