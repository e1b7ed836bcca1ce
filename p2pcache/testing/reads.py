"""Handlers of GET, outside of repositories."""

from __future__ import annotations

from p2pcache.testing import git_shapes, shapes
from p2pcache.testing.accounts import Viewer
from p2pcache.testing.routing import NOT_FOUND, Answer, Ask, Problem, Routes, page
from p2pcache.testing.world import Account, Issue, Repository, World

routes = Routes()


def visible(world: World, viewer: Viewer, owner: Account | None = None) -> list[Repository]:
    """Return the repositories that a viewer may read, all or one owner's, in the order of creation."""
    mine = [one for one in world.repositories.values() if viewer.may_read(one)]
    return [one for one in mine if owner is None or one.owner is owner]


def known(ask: Ask, login: str) -> Account:
    """Return the account of that name, or 404."""
    if found := ask.world.accounts.get(login.lower()):
        return found
    raise Problem(*NOT_FOUND)


@routes.on("GET", "/")
def root(_ask: Ask) -> Answer:
    """Return the root document; gh reads the scopes of its token from its headers."""
    names = {"current_user": "/user", "repository": "/repos/{owner}/{repo}", "user": "/users/{user}"}
    return Answer(
        {f"{name}_url": shapes.API + path for name, path in names.items()}, headers={"x-oauth-scopes": "repo"}
    )


@routes.on("GET", "/zen")
def zen(_ask: Ask) -> Answer:
    """Return plain text, unlike all other answers."""
    return Answer(b"Keep it logically awesome.", headers={"content-type": "text/plain;charset=utf-8"})


@routes.on("GET", "/meta")
def meta(_ask: Ask) -> Answer:
    """Return an answer that hardly ever changes."""
    return Answer({"verifiable_password_authentication": False, "hooks": ["192.0.2.0/24"], "api": ["198.51.100.0/24"]})


@routes.on("GET", "/user")
def viewer(ask: Ask) -> Answer:
    """Return the token's own user."""
    if ask.viewer.token is None:
        raise Problem(401, "Requires authentication")
    if ask.viewer.token.kind == "installation":
        raise Problem(403, "Resource not accessible by integration")
    me = ask.world.account(ask.viewer.token.login)
    return Answer(shapes.full_account(me, len(visible(ask.world, ask.viewer, me))))


@routes.on("GET", "/user/repos")
def own_repositories(ask: Ask) -> Answer:
    """Return the repositories granted to the token."""
    if ask.viewer.token is None:
        raise Problem(401, "Requires authentication")
    granted = [ask.world.repositories[each] for each in sorted(ask.viewer.token.repositories)]
    return page(ask, granted, shapes.repository, "/user/repos")


@routes.on("GET", "/installation/repositories")
def installation_repositories(ask: Ask) -> Answer:
    """Return the repositories granted to a job's token."""
    answer = own_repositories(ask)
    return Answer({"total_count": len(answer.body), "repositories": answer.body}, headers=answer.headers)


@routes.on("GET", "/users/{login}")
def user(ask: Ask, login: str) -> Answer:
    """Return a user by name."""
    found = known(ask, login)
    return Answer(shapes.full_account(found, len(visible(ask.world, ask.viewer, found))))


@routes.on("GET", "/user/{number}")
def user_by_number(ask: Ask, number: str) -> Answer:
    """Return a user by id."""
    return user(ask, _by_number(ask, number).login)


@routes.on("GET", "/users/{login}/orgs")
def user_organizations(ask: Ask, login: str) -> Answer:
    """Return no organizations: all memberships are private."""
    known(ask, login)
    return Answer([])


@routes.on("GET", "/orgs/{login}")
def organization(ask: Ask, login: str) -> Answer:
    """Return an organization by name."""
    found = known(ask, login)
    if found.kind != "Organization":
        raise Problem(*NOT_FOUND)
    return Answer(shapes.organization(found, len(visible(ask.world, ask.viewer, found))))


@routes.on("GET", "/search/issues")
def search_issues(ask: Ask) -> Answer:
    """Search by words, ``repo:``, ``is:``, ``state:`` and ``label:``; without validators, as at GitHub."""
    found = [(one, issue) for one, issue in matching_issues(ask.world, ask.viewer, ask.query.get("q", ""))]
    answer = page(ask, found, lambda pair: shapes.issue(*pair), "/search/issues")
    body = {"total_count": len(found), "incomplete_results": False, "items": answer.body}
    return Answer(body, headers=answer.headers | {"cache-control": "no-cache"}, tag=None)


@routes.on("GET", "/search/code")
def search_code(ask: Ask) -> Answer:
    """Search the files of default branches by words and ``repo:``; for tokens alone, as at GitHub."""
    if ask.viewer.token is None:
        raise Problem(401, "Requires authentication")
    words = ask.query.get("q", "").lower().split()
    names = {word.removeprefix("repo:") for word in words if word.startswith("repo:")}
    texts = [word.strip('"') for word in words if ":" not in word]
    found = [
        (one, path)
        for one in visible(ask.world, ask.viewer)
        if not names or one.full_name.lower() in names
        for path, data in sorted(one.commits[0].files.items())
        if all(text in data.decode(errors="replace").lower() for text in texts)
    ]
    answer = page(ask, found, lambda pair: git_shapes.found_code(*pair), "/search/code")
    body = {"total_count": len(found), "incomplete_results": False, "items": answer.body}
    return Answer(body, headers=answer.headers | {"cache-control": "no-cache"}, tag=None)


def matching_issues(world: World, viewer: Viewer, query: str) -> list[tuple[Repository, Issue]]:
    """Return the matches of a search for issues."""
    words = query.lower().split()
    return [
        (one, issue)
        for one in visible(world, viewer)
        for issue in one.issues
        if all(_matches(one, issue, word) for word in words)
    ]


def _matches(repository: Repository, issue: Issue, word: str) -> bool:
    qualifier, colon, value = word.partition(":")
    value = value.strip('"')
    match qualifier if colon else "":
        case "repo":
            return repository.full_name.lower() == value
        case "is" | "state" | "type":
            return value in {issue.state, "pr" if issue.head else "issue"}
        case "label":
            return any(label.name.lower() == value for label in issue.labels)
        case "":
            return word in f"{issue.title} {issue.body}".lower()
        case _:
            return True


def _by_number(ask: Ask, number: str) -> Account:
    found = next((one for one in ask.world.accounts.values() if str(one.id) == number), None)
    if found is None:
        raise Problem(*NOT_FOUND)
    return found


def _serve_repositories(named: str, numbered: str) -> None:
    """Serve an account's repositories by name, and its further pages by number, as GitHub links them."""

    def listed(ask: Ask, owner: Account) -> Answer:
        return page(ask, visible(ask.world, ask.viewer, owner), shapes.repository, f"{numbered}/{owner.id}/repos")

    routes.on("GET", f"{named}/{{login}}/repos")(lambda ask, login: listed(ask, known(ask, login)))
    routes.on("GET", f"{numbered}/{{number}}/repos")(lambda ask, number: listed(ask, _by_number(ask, number)))


_serve_repositories("/users", "/user")
_serve_repositories("/orgs", "/organizations")
