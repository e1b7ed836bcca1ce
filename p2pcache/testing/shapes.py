"""REST's JSON for the objects of the world. URLs have GitHub's public name, wherever the stand-in listens."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from p2pcache.declarations import UPSTREAM
from p2pcache.testing.world import Account, Comment, Issue, Label, Repository, node_id, stamp

API = UPSTREAM
WEB = "https://github.com"

Json = dict[str, Any]

_USER_LINKS = ("followers", "subscriptions", "repos", "received_events")
_REPOSITORY_LINKS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "archive_url": "/{archive_format}{/ref}",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def account(one: Account) -> Json:
    """Return a user or organization as in other answers."""
    url = f"{API}/users/{one.login}"
    return {
        "login": one.login,
        "id": one.id,
        "node_id": one.node_id,
        "avatar_url": f"https://avatars.githubusercontent.com/u/{one.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{WEB}/{one.login}",
        **{f"{link}_url": f"{url}/{link}" for link in _USER_LINKS},
        "organizations_url": f"{url}/orgs",
        "type": one.kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def full_account(one: Account, public_repositories: int) -> Json:
    """Return a user as in ``GET /users/{login}``."""
    return account(one) | {
        "name": one.login.title(),
        "company": None,
        "blog": "",
        "location": None,
        "email": None,
        "bio": f"{one.login} is synthetic",
        "public_repos": public_repositories,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": "2024-01-01T00:00:00Z",
        "updated_at": "2024-01-01T00:00:00Z",
    }


def organization(one: Account, public_repositories: int) -> Json:
    """Return an organization as in ``GET /orgs/{org}``."""
    url = f"{API}/orgs/{one.login}"
    links = {f"{link}_url": f"{url}/{link}" for link in ("repos", "events", "hooks", "issues")}
    full = full_account(one, public_repositories)
    shared = ("login", "id", "node_id", "avatar_url", "html_url", "name", "public_repos", "created_at", "updated_at")
    return {key: full[key] for key in shared} | links | {"url": url, "description": None, "type": "Organization"}


def repository_url(one: Repository) -> str:
    """Return a repository's URL by name."""
    return f"{API}/repos/{one.full_name}"


def repository(one: Repository) -> Json:
    """Return a repository."""
    url, html = repository_url(one), f"{WEB}/{one.full_name}"
    return {
        "id": one.id,
        "node_id": node_id("Repository", one.id),
        "name": one.name,
        "full_name": one.full_name,
        "private": one.private,
        "owner": account(one.owner),
        "html_url": html,
        "description": one.description,
        "fork": False,
        "url": url,
        **{key: url + tail for key, tail in _REPOSITORY_LINKS.items()},
        "git_url": f"git://github.com/{one.full_name}.git",
        "clone_url": f"{html}.git",
        "homepage": None,
        "size": sum(map(len, one.files.values())),
        "stargazers_count": 0,
        "watchers_count": 0,
        "forks_count": 0,
        "language": "Python",
        "has_issues": True,
        "has_wiki": False,
        "archived": False,
        "disabled": False,
        "open_issues_count": sum(issue.closed is None for issue in one.issues),
        "visibility": "private" if one.private else "public",
        "default_branch": one.default_branch,
        "created_at": stamp(one.created),
        "updated_at": stamp(one.updated),
        "pushed_at": stamp(one.commits[0].at),
    }


def label(of: Repository, one: Label) -> Json:
    """Return a label."""
    return {
        "id": one.id,
        "node_id": node_id("Label", one.id),
        "url": f"{repository_url(of)}/labels/{quote(one.name)}",
        "name": one.name,
        "color": one.color,
        "default": False,
        "description": one.description,
    }


def issue(of: Repository, one: Issue) -> Json:
    """Return an issue; a pull request among issues has a `pull_request` member."""
    url = f"{repository_url(of)}/issues/{one.number}"
    html = f"{WEB}/{of.full_name}/{'pull' if one.head else 'issues'}/{one.number}"
    shaped: Json = {
        "url": url,
        "repository_url": repository_url(of),
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": html,
        "id": one.id,
        "node_id": node_id("PullRequest" if one.head else "Issue", one.id),
        "number": one.number,
        "title": one.title,
        "user": account(one.author),
        "labels": [label(of, each) for each in one.labels],
        "state": one.state,
        "locked": False,
        "assignees": [],
        "milestone": None,
        "comments": len(one.comments),
        "created_at": stamp(one.created),
        "updated_at": stamp(one.updated),
        "closed_at": stamp(one.closed) if one.closed else None,
        "author_association": "MEMBER",
        "body": one.body,
        "state_reason": "completed" if one.closed else None,
    }
    if one.head:
        pull_url = f"{repository_url(of)}/pulls/{one.number}"
        shaped["pull_request"] = {"url": pull_url, "html_url": html, "merged_at": None}
    return shaped


def labelled(of: Repository, on: Issue, one: Label) -> Json:
    """Return the event that a label was added to an issue."""
    number = on.id * 1000 + one.id
    return {
        "id": number,
        "node_id": node_id("LabeledEvent", number),
        "url": f"{repository_url(of)}/issues/events/{number}",
        "actor": account(on.author),
        "event": "labeled",
        "commit_id": None,
        "commit_url": None,
        "created_at": stamp(on.created),
        "label": {"name": one.name, "color": one.color},
        "performed_via_github_app": None,
    }


def pull(of: Repository, one: Issue) -> Json:
    """Return a pull request."""
    shaped = issue(of, one)
    url = shaped.pop("pull_request")["url"]
    tip = of.commits[0].sha
    side = {"user": account(of.owner), "repo": repository(of)}
    return shaped | {
        "url": url,
        "issue_url": f"{repository_url(of)}/issues/{one.number}",
        "draft": False,
        "merged_at": None,
        "merge_commit_sha": None,
        "head": {"label": f"{of.owner.login}:{one.head}", "ref": one.head, "sha": tip, **side},
        "base": {"label": f"{of.owner.login}:{of.default_branch}", "ref": of.default_branch, "sha": tip, **side},
    }


def comment(of: Repository, on: Issue, one: Comment) -> Json:
    """Return a comment."""
    base = repository_url(of)
    return {
        "url": f"{base}/issues/comments/{one.id}",
        "html_url": f"{WEB}/{of.full_name}/issues/{on.number}#issuecomment-{one.id}",
        "issue_url": f"{base}/issues/{on.number}",
        "id": one.id,
        "node_id": node_id("IssueComment", one.id),
        "user": account(one.author),
        "created_at": stamp(one.created),
        "updated_at": stamp(one.updated),
        "author_association": "MEMBER",
        "body": one.body,
    }
