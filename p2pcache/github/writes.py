"""What a write may have changed: reads carry topics, writes drop topics, and a read is void when they meet.

Coarse on purpose: GitHub does not say what a write changes, so a repository is cut into a few groups that change
together, and a write that fits none of them takes the whole repository (or everything) with it.

Topics, and the reads that carry them:
  all                         every read
  repo:o/r  repo:o/r:<group>  of a repository; repo:#5 when it was asked for by number
  named     named:<group>     of a repository by any name, since the alias of a number is unknown
  numeric   numeric:<group>   and by any number
  owner:o                     everything of an account: its repositories, /orgs/o, /users/o
  account:o                   /orgs/o and /users/o alone; account:# for accounts and teams by number
  viewer                      /user: whoever asks
  across                      gathered over repositories: lists of them, searches, feeds
  gists                       gists and lists of them
  graphql                     GraphQL; with graphql:o/r of one repository, graphql:* of anything else
"""

from __future__ import annotations

from urllib.parse import unquote

from p2pcache.github.routes import MAX_SEGMENTS, full_sha

ALL = "all"

_CODE = "code"
_TALK = "talk"
_CHECKS = "checks"
_OBJECTS = "objects"  # Git data addressed by SHA: nothing but the repository's own end changes it
_SELF = ""  # the repository and what every write shows up in: counts, pushed_at, events

_WORDS = {
    _TALK: "issues pulls labels milestones assignees stacks",
    _CODE: "git contents commits branches compare tags releases readme license languages merges merge-upstream"
    " comments contributors stats codeowners community",
    _CHECKS: "actions check-runs check-suites statuses deployments dispatches environments",
    _SELF: "events activity notifications forks stargazers subscribers",
}
_GROUPS = {word: group for group, words in _WORDS.items() for word in words.split()}
"""The first word after the repository, and the group it changes with. A word not here is a group of its own."""

_CHANGES = {
    # A finished check shows in a pull request only as mergeable_state, which its lifetime bounds well enough: every job
    # writes checks, and none should cost the others their issues and pull requests.
    _CHECKS: (_CHECKS, _SELF),
    # Issues and pull requests share numbers, labels and milestones, and closing keywords join them.
    _TALK: (_TALK, _SELF),
    # A push moves the heads of pull requests and starts checks.
    _CODE: (_CODE, _TALK, _CHECKS, _SELF),
}
"""The groups that a write in a group may change. A write in any other takes the whole repository."""

_MERGING = frozenset({"merge", "merge-async", "update-branch"})  # under a pull request: pushes in all but name
_BY_SHA = frozenset({"blobs", "trees", "commits", "tags"})
_CHECKS_OF_COMMIT = frozenset({"status", "statuses", "check-runs", "check-suites"})

_GATHERED = frozenset(
    {"repos", "repositories", "issues", "events", "received_events", "starred", "subscriptions", "packages"}
    | {"dependabot", "code-scanning", "security-advisories", "projectsv2", "codespaces"}
)
"""Words that say, outside of one repository, that an answer is gathered over many."""
_GATHERED_ROOTS = frozenset({"search", "issues", "events", "networks", "notifications", "installation", "repositories"})

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 section 9.2.1
_REPOSITORY = 3  # parts: repos, owner, name
_MOST_NAMED = 8  # keeps a query's topics under twelve


def topics(path: str) -> tuple[str, ...]:
    """The topics of a REST read of `path`; its query does not matter. Lower case, at most 12, never empty."""
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
            return (ALL, *_outside(parts))


def drops(method: str, path: str) -> tuple[str, ...]:
    """The topics that a REST write invalidates: whatever carries one of them may have changed.

    The resource with its subtree, the lists it is on, the repository under its other names, searches, and GraphQL
    reads of the repository. Nothing for a safe method.
    """
    if method in _SAFE:
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
        # Moving, renaming, publishing or deleting a repository shows in what its owner has, too.
        return (mine, other, *accounts, "account:#", "viewer", "across", *queries)
    groups = [f"{topic}:{group}" for group in changed for topic in (mine, other)]
    return (*groups, "across", *queries)


def query_topics(repositories: tuple[str, ...]) -> tuple[str, ...]:
    """The topics of a GraphQL read; `repositories` are all it reads of (``owner/name``), empty when that is unknown."""
    if not 0 < len(repositories) <= _MOST_NAMED:
        return (ALL, "graphql", "graphql:*")
    return (ALL, "graphql", *(f"graphql:{name.lower()}" for name in repositories))


def mutation_drops(repositories: tuple[str, ...]) -> tuple[str, ...]:
    """What a GraphQL mutation may have changed; `repositories` are those its result names, if any (``owner/name``)."""
    if not repositories:
        return (ALL,)
    named = [name.lower() for name in repositories]
    owners = dict.fromkeys(f"account:{name.partition('/')[0]}" for name in named)
    return ("graphql", "numeric", "account:#", "viewer", "across", *owners, *(f"repo:{name}" for name in named))


def _changed(parts: tuple[str, ...]) -> tuple[str, ...] | None:
    """The groups a write to `parts` may change, None for the whole repository."""
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


def _outside(parts: tuple[str, ...]) -> list[str]:
    """Topics of what is not of one repository."""
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
    """Lower-case parts as a lenient server would read them; None when that cannot be told.

    ``repositories/5/x`` gets an empty part for the name it lacks, so that a repository is always three parts.
    """
    parts = tuple(part for part in unquote(path.partition("?")[0]).lower().split("/") if part)
    if not path.isascii() or not parts or len(parts) > MAX_SEGMENTS or "." in parts or ".." in parts:
        return None
    return (*parts[:2], "", *parts[2:]) if parts[0] == "repositories" and len(parts) > 1 else parts
