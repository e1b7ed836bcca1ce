"""The effects of writes: reads carry topics, writes drop topics, and a drop invalidates the reads that carry it.

Coarse on purpose: GitHub does not document the effects of a write, so a repository is divided into a few groups that
change together, and a write outside of them drops the whole repository, or everything.

Topics, and the reads that carry them:
  all                         every read
  repo:o/r  repo:o/r:<group>  of a repository; repo:#5 if it was requested by number
  named     named:<group>     of a repository by any name, since the alias of a number is unknown
  numeric   numeric:<group>   and by any number
  owner:o                     everything of an account: its repositories, /orgs/o, /users/o
  account:o                   /orgs/o and /users/o alone; account:# for accounts and teams by number
  viewer                      /user, the caller
  across                      aggregated over repositories: lists of them, searches, feeds
  gists                       gists and lists of them
  graphql                     GraphQL; with graphql:o/r of one repository, graphql:* of anything else
"""

from __future__ import annotations

from urllib.parse import unquote

from p2pcache.github.methods import SAFE
from p2pcache.github.routes import MAX_SEGMENTS, full_sha

ALL = "all"

_CODE = "code"
_TALK = "talk"
_CHECKS = "checks"
_OBJECTS = "objects"  # Git data addressed by SHA: only the repository's deletion changes it
_SELF = ""  # the repository and what every write affects: counts, pushed_at, events

_WORDS = {
    _TALK: "issues pulls labels milestones assignees stacks",
    _CODE: "git contents commits branches compare tags releases readme license languages merges merge-upstream"
    " comments contributors stats codeowners community",
    _CHECKS: "actions check-runs check-suites statuses deployments dispatches environments",
    _SELF: "events activity notifications forks stargazers subscribers",
}
_GROUPS = {word: group for group, words in _WORDS.items() for word in words.split()}
"""The group of the first segment after the repository; any other segment is a group of its own."""

_CHANGES = {
    # A finished check affects a pull request only in mergeable_state, which the lifetime bounds. Every job writes
    # checks, which must not invalidate issues and pull requests each time.
    _CHECKS: (_CHECKS, _SELF),
    # Issues and pull requests share numbers, labels and milestones, and closing keywords join them.
    _TALK: (_TALK, _SELF),
    # A push moves the heads of pull requests and starts checks.
    _CODE: (_CODE, _TALK, _CHECKS, _SELF),
}
"""The groups that a write in a group may change. A write in any other group drops the whole repository."""

_MERGING = frozenset({"merge", "merge-async", "update-branch"})  # below a pull request: equivalent to pushes
_BY_SHA = frozenset({"blobs", "trees", "commits", "tags"})
_CHECKS_OF_COMMIT = frozenset({"status", "statuses", "check-runs", "check-suites"})

_GATHERED = frozenset(
    {"repos", "repositories", "issues", "events", "received_events", "starred", "subscriptions", "packages"}
    | {"dependabot", "code-scanning", "security-advisories", "projectsv2", "codespaces"}
)
"""Segments, outside of a single repository, of answers aggregated over many."""
_GATHERED_ROOTS = frozenset({"search", "issues", "events", "networks", "notifications", "installation", "repositories"})

_REPOSITORY = 3  # parts: repos, owner, name
_MOST_NAMED = 8  # keeps a query below twelve topics


def topics(path: str) -> tuple[str, ...]:
    """Return the topics of a REST read of `path`, whatever its query: lower case, 1 to 12."""
    parts = _parts(path)
    match parts:
        case None:
            return (ALL,)
        case ("repos", owner, name, *_):
            group = _group(parts)
            mine = f"repo:{owner}/{name}"
            return (ALL, mine, f"{mine}:{group}", "named", f"named:{group}", f"owner:{owner}")
        case ("repositories", number, *_):
            group = _group(parts)
            return (ALL, f"repo:#{number}", f"repo:#{number}:{group}", "numeric", f"numeric:{group}")
        case _:
            return (ALL, *_outside_repositories(parts))


def drops(method: str, path: str) -> tuple[str, ...]:
    """Return the topics that a REST write drops.

    They cover the resource with its subtree, lists that contain it, the repository under its other names, searches,
    and GraphQL reads of the repository. Empty for a safe method.
    """
    if method in SAFE:
        return ()
    parts = _parts(path)
    match parts:
        case ("repos", owner, name, *_):
            mine, other = f"repo:{owner}/{name}", "numeric"
            accounts, queries = [f"account:{owner}"], [f"graphql:{owner}/{name}", "graphql:*"]
        case ("repositories", number, *_):
            mine, other = f"repo:#{number}", "named"
            accounts, queries = [], ["graphql"]
        case ("orgs", org, *_):
            return (f"owner:{org}", "numeric", "account:#", "viewer", "across", "graphql")
        case ("user", "starred" | "subscriptions", owner, name):
            return (f"repo:{owner}/{name}:", "numeric:", "viewer", "across", "graphql")
        case ("gists", *_):
            return ("gists", "graphql")
        case ("notifications", *_):
            return ("across", "named:", "numeric:")
        case _:
            return (ALL,)
    changed = _changed(parts)
    if changed is None:
        # Moving, renaming, publishing or deleting a repository changes the owner's lists too.
        return (mine, other, *accounts, "account:#", "viewer", "across", *queries)
    groups = [f"{topic}:{group}" for group in changed for topic in (mine, other)]
    return (*groups, "across", *queries)


def query_topics(repositories: tuple[str, ...]) -> tuple[str, ...]:
    """Return the topics of a GraphQL read of these repositories (``owner/name``); () if they are unknown."""
    if not 0 < len(repositories) <= _MOST_NAMED:
        return (ALL, "graphql", "graphql:*")
    return (ALL, "graphql", *(f"graphql:{name.lower()}" for name in repositories))


def mutation_drops(repositories: tuple[str, ...]) -> tuple[str, ...]:
    """Return the topics that a GraphQL mutation drops; `repositories` (``owner/name``) are those in its result."""
    if not repositories:
        return (ALL,)
    named = [name.lower() for name in repositories]
    owners = dict.fromkeys(f"account:{name.partition('/')[0]}" for name in named)
    return ("graphql", "numeric", "account:#", "viewer", "across", *owners, *(f"repo:{name}" for name in named))


def _changed(parts: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the groups that a write to `parts` may change, None for the whole repository."""
    if parts[3:4] == ("pulls",) and _MERGING.intersection(parts[4:]):
        return _CHANGES[_CODE]
    group = _group(parts)
    if group == _SELF:
        return (_SELF,) if len(parts) > _REPOSITORY else None
    return _CHANGES.get(group)


def _group(parts: tuple[str, ...]) -> str:
    match parts[3:]:
        case ("git", kind, sha) if kind in _BY_SHA and full_sha(sha):
            return _OBJECTS
        case ("commits", _, *_, last) if last in _CHECKS_OF_COMMIT:
            return _CHECKS
        case (section, *_):
            return _GROUPS.get(section, section)
        case _:
            return _SELF


def _outside_repositories(parts: tuple[str, ...]) -> list[str]:
    """Return the topics of a path outside of a single repository."""
    found = []
    match parts:
        case ("orgs" | "users", account, *_):
            found += [f"owner:{account}", f"account:{account}"]
        case ("organizations" | "teams" | "enterprises", *_):
            found.append("account:#")
        case ("user", *rest):
            found.append("account:#" if rest and rest[0].isdecimal() else "viewer")
    if "gists" in parts:
        found.append("gists")
    if parts[0] in _GATHERED_ROOTS or _GATHERED.intersection(parts[1:]):
        found.append("across")
    return found


def _parts(path: str) -> tuple[str, ...] | None:
    """Return the lower-case parts as a lenient server reads them, or None if servers may disagree.

    ``repositories/5/x`` gets an empty part for the missing name, so that a repository is always three parts.
    """
    parts = tuple(part for part in unquote(path.partition("?")[0]).lower().split("/") if part)
    if not path.isascii() or not parts or len(parts) > MAX_SEGMENTS or "." in parts or ".." in parts:
        return None
    return (*parts[:2], "", *parts[2:]) if parts[0] == "repositories" and len(parts) > 1 else parts
