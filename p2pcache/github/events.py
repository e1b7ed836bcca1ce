"""The effects of webhook events: which topics a delivery drops. Pure.

An event drops what the write behind it may have changed (see `writes` for topics and groups), but knows more than a
write: the repository's number as well as its name. So an event of one repository never drops what is kept of another,
by name or by number; only answers aggregated over many are dropped with it.

No payload has the moment of its event: the times in it are those of objects, in seconds, and GitHub may answer from a
replica that is behind them. So everything that was kept before the delivery is dropped, however young.

Source of names and payloads: docs.github.com, "Webhook events and payloads"; npm's @octokit/webhooks-examples.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping

import msgspec

from p2pcache.github.payload import Named, NamedRepository, Payload
from p2pcache.github.writes import ALL

PING = "ping"
NAME = re.compile(r"[a-z][a-z_]{0,63}")
"""The form of an event's name."""

# A row: events, or an event with one of its actions, then after the arrow what changes. Words are groups of a
# repository (`self`: the repository itself, its counts and its feed), sections that are groups of their own, and
#   repository  all of it, and its owner's lists: it moved, or who may read it changed
#   lists       answers aggregated over repositories: searches, lists of repositories, feeds
#   account     /orgs/o and /users/o;  owner: all of the account, each of its repositories included
# GraphQL of the repository, and GraphQL that names no repository, is dropped with any of them. Without a repository in
# the payload, all of the account is.
TABLE = """
push                                                  -> code talk checks self lists
create delete                                         -> code self lists
commit_comment release                                -> code self
merge_group                                           -> code talk checks
check_run check_suite status workflow_job workflow_run -> checks
deployment deployment_protection_rule deployment_review deployment_status -> checks
issues issue_comment issue_dependencies sub_issues    -> talk self lists
label milestone                                       -> talk self lists
pull_request pull_request_review pull_request_review_comment pull_request_review_thread -> talk self lists
pull_request.opened pull_request.synchronize          -> code talk checks self lists
pull_request.closed pull_request.merged               -> code talk checks self lists
discussion discussion_comment gollum                  -> self
fork star watch                                       -> self lists
branch_protection_configuration branch_protection_rule repository_ruleset -> code rules rulesets
code_scanning_alert                                   -> code-scanning lists
dependabot_alert repository_vulnerability_alert       -> dependabot vulnerability-alerts lists
secret_scanning_alert secret_scanning_alert_location secret_scanning_scan -> secret-scanning lists
repository_advisory                                   -> security-advisories lists
deploy_key                                            -> keys
page_build                                            -> pages
meta                                                  -> hooks
custom_property_values                                -> properties self lists account
package registry_package                              -> self lists account
project project_card project_column                   -> projects
projects_v2 projects_v2_item projects_v2_status_update -> lists account
public repository repository_import security_and_analysis -> repository
installation_repositories member team_add             -> repository
team.added_to_repository team.edited team.removed_from_repository -> repository
custom_property org_block personal_access_token_request -> account
installation installation_target membership organization team -> owner
enterprise user                                       -> owner
"""

IGNORED: Mapping[str, str] = {
    PING: "says that the webhook works",
    "cache_sync": "is about a mirror of Git data of an Enterprise Server",
    "content_reference": "asks for a preview of a link, and changes nothing",
    "github_app_authorization": "names a person, not the token that ended: its answers end with their lifetime",
    "marketplace_purchase": "is about a plan, which only the app's own tokens can read",
    "repository_dispatch": "starts runs, each with events of its own",
    "security_advisory": "is about GitHub's advisories, which change slowly and belong to no repository",
    "sponsorship": "is shown by GraphQL alone, whose answers live for seconds",
    "workflow_dispatch": "starts a run, with events of its own",
}
"""Events that drop nothing, and why."""

_WORDS = {"self": ""}
_WIDE = frozenset({"repository", "lists", "account", "owner"})
_NARROW = frozenset({"lists", "account"})
_UNKNOWN = ("repository",)
"""What changes by an event without a row: GitHub adds some every year."""


def known(event: str) -> bool:
    """Return whether an event has a row, or is ignored on purpose."""
    return event in IGNORED or event in _rows()


def drops(event: str, body: bytes) -> tuple[str, ...]:
    """Return the topics that a delivery drops, () where the event changes nothing that is kept.

    Everything, where the payload does not name what such an event is about, or cannot be read: as it is signed, GitHub
    means it.

    Args:
        event: as in ``X-GitHub-Event``.
        body: its payload.

    Raises:
        ValueError: the payload is no JSON object.
    """
    try:
        if event in IGNORED:
            msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            return ()
        payload = msgspec.json.decode(body, type=Payload)
        named = payload.names(event)
    except (msgspec.DecodeError, RecursionError):
        if not body.lstrip().startswith(b"{"):
            raise ValueError("no JSON object") from None
        return (ALL,)
    if not named.complete:
        return (ALL,)
    rows = _rows()
    words = rows.get(f"{event}.{payload.action}") or rows.get(event) or _UNKNOWN
    return tuple(dict.fromkeys(_topics(words, named)))


@functools.cache
def _rows() -> Mapping[str, tuple[str, ...]]:
    rows: dict[str, tuple[str, ...]] = {}
    for line in TABLE.strip().splitlines():
        events, _, words = line.partition("->")
        rows |= dict.fromkeys(events.split(), tuple(words.split()))
    return rows


def _topics(words: tuple[str, ...], named: Named) -> Iterator[str]:
    if "owner" in words or not named.repositories:
        narrow = _NARROW.issuperset(words)
        if not named.accounts:
            # Projects of a person: no account is named, and only lists have them.
            yield from ("across", "graphql") if narrow else (ALL,)
        for account in named.accounts:
            yield from _of_account(account, whole=not narrow)
        return
    for repository in named.repositories:
        yield from _of_repository(words, repository)


def _of_account(account: str, *, whole: bool) -> Iterator[str]:
    """Yield the topics of an account; its repositories by number are unknown, so `whole` includes all of these."""
    if whole:
        yield from (f"owner:{account}", "numeric", "viewer")
    yield from (f"account:{account}", "account:#", "across", "graphql")


def _of_repository(words: tuple[str, ...], repository: NamedRepository) -> Iterator[str]:
    name = repository.full_name
    mine = [f"repo:{name}", *([f"repo:#{repository.id}"] if repository.id > 0 else ["numeric"])]
    if "repository" in words:
        yield from (*mine, "viewer", "across")
    for word in words:
        if word not in _WIDE:
            yield from (f"{topic}:{_WORDS.get(word, word)}" for topic in mine)
    if "lists" in words:
        yield "across"
    if "repository" in words or "account" in words:
        yield from (f"account:{name.partition('/')[0]}", "account:#")
    yield from (f"graphql:{name}", "graphql:*")
