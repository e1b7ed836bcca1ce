"""GET, inside a repository. Templates leave out ``/repos/{owner}/{repo}``: the server has resolved it."""

from __future__ import annotations

import base64
from datetime import timedelta

from p2pcache.testing import shapes
from p2pcache.testing.routing import NOT_FOUND, Answer, Ask, Problem, Routes, repository_page
from p2pcache.testing.world import Commit, Issue, Release, Repository, blob_sha, sha

routes = Routes()

EMPTY_LISTS = ("milestones", "deployments", "forks", "stargazers", "subscribers", "hooks", "keys", "autolinks")


def issue_of(repository: Repository, number: str) -> Issue:
    """An issue or pull request, or 404."""
    found = repository.issue(int(number)) if number.isdecimal() else None
    if found is None:
        raise Problem(*NOT_FOUND)
    return found


def commit_of(repository: Repository, ref: str) -> Commit:
    """A commit by SHA, branch or tag, or GitHub's 422."""
    if found := repository.commit(ref):
        return found
    raise Problem(422, f"No commit found for SHA: {ref}")


@routes.on("GET", "")
def repository(_ask: Ask, of: Repository) -> Answer:
    """The repository itself; it has a Last-Modified."""
    return Answer(shapes.repository(of), modified=of.touched)


@routes.on("GET", "/issues")
def issues(ask: Ask, of: Repository) -> Answer:
    """Issues and pull requests, newest first; open ones unless told otherwise."""
    wanted = set(filter(None, ask.query.get("labels", "").lower().split(",")))
    labelled = [one for one in of.issues if wanted <= {label.name.lower() for label in one.labels}]
    return repository_page(ask, of, _in_state(ask, labelled), shapes.issue)


@routes.on("GET", "/issues/{number}")
def issue(_ask: Ask, of: Repository, number: str) -> Answer:
    """One issue."""
    return Answer(shapes.issue(of, issue_of(of, number)))


@routes.on("GET", "/issues/{number}/comments")
def comments(ask: Ask, of: Repository, number: str) -> Answer:
    """Its comments, oldest first."""
    on = issue_of(of, number)
    return repository_page(ask, of, on.comments, lambda _, one: shapes.comment(of, on, one))


@routes.on("GET", "/issues/comments/{number}")
def comment(_ask: Ask, of: Repository, number: str) -> Answer:
    """One comment, by id."""
    for on in of.issues:
        for one in on.comments:
            if str(one.id) == number:
                return Answer(shapes.comment(of, on, one))
    raise Problem(*NOT_FOUND)


@routes.on("GET", "/issues/{number}/labels")
def issue_labels(ask: Ask, of: Repository, number: str) -> Answer:
    """The labels of an issue."""
    return repository_page(ask, of, issue_of(of, number).labels, shapes.label)


@routes.on("GET", "/labels")
def labels(ask: Ask, of: Repository) -> Answer:
    """The labels of the repository."""
    return repository_page(ask, of, of.labels, shapes.label)


@routes.on("GET", "/labels/{name}")
def label(_ask: Ask, of: Repository, name: str) -> Answer:
    """One label."""
    if found := of.label(name):
        return Answer(shapes.label(of, found))
    raise Problem(*NOT_FOUND)


@routes.on("GET", "/pulls")
def pulls(ask: Ask, of: Repository) -> Answer:
    """Pull requests, newest first; open ones unless told otherwise."""
    return repository_page(ask, of, _in_state(ask, [one for one in of.issues if one.head]), shapes.pull)


@routes.on("GET", "/pulls/{number}")
def pull(_ask: Ask, of: Repository, number: str) -> Answer:
    """One pull request; it has a Last-Modified."""
    one = issue_of(of, number)
    if not one.head:
        raise Problem(*NOT_FOUND)
    return Answer(shapes.pull(of, one), modified=of.touched)


@routes.on("GET", "/commits")
def commits(ask: Ask, of: Repository) -> Answer:
    """From `sha` (default: the default branch) backwards."""
    tip = commit_of(of, ask.query.get("sha", of.default_branch))
    answer = repository_page(ask, of, of.commits[of.commits.index(tip) :], shapes.commit)
    answer.modified = of.touched
    return answer


@routes.on("GET", "/commits/{ref*}")
def commit(_ask: Ask, of: Repository, ref: str) -> Answer:
    """One commit; it has a Last-Modified."""
    found = commit_of(of, ref)
    return Answer(shapes.commit(of, found), modified=of.touched)


@routes.on("GET", "/branches")
def branches(ask: Ask, of: Repository) -> Answer:
    """The branches by name."""
    return repository_page(ask, of, sorted(of.branches), shapes.branch)


@routes.on("GET", "/branches/{name*}")
def branch(_ask: Ask, of: Repository, name: str) -> Answer:
    """One branch with its tip."""
    if name not in of.branches:
        raise Problem(404, "Branch not found")
    return Answer(shapes.branch(of, name) | {"commit": shapes.commit(of, commit_of(of, name))})


@routes.on("GET", "/git/refs")
def references(ask: Ask, of: Repository) -> Answer:
    """The branches as refs."""
    return repository_page(ask, of, sorted(of.branches), shapes.reference)


@routes.on("GET", "/git/ref/heads/{name*}")
def reference(_ask: Ask, of: Repository, name: str) -> Answer:
    """One ref."""
    if name not in of.branches:
        raise Problem(*NOT_FOUND)
    return Answer(shapes.reference(of, name))


@routes.on("GET", "/git/commits/{name}")
def git_commit(_ask: Ask, of: Repository, name: str) -> Answer:
    """A commit as Git has it."""
    found = commit_of(of, name)
    return Answer({"sha": found.sha, **shapes.git_commit(of, found)})


@routes.on("GET", "/git/trees/{name}")
def tree(_ask: Ask, of: Repository, name: str) -> Answer:
    """All files of a commit or tree, as if `recursive` were always asked for."""
    found = next((one for one in of.commits if one.tree == name), None) or commit_of(of, name)
    base = shapes.repository_url(of)
    entries = [
        {"path": path, "mode": "100644", "type": "blob", "sha": (blob := blob_sha(data)), "size": len(data)}
        | {"url": f"{base}/git/blobs/{blob}"}
        for path, data in sorted(found.files.items())
    ]
    return Answer({"sha": found.tree, "url": f"{base}/git/trees/{found.tree}", "tree": entries, "truncated": False})


@routes.on("GET", "/git/blobs/{name}")
def blob(ask: Ask, of: Repository, name: str) -> Answer:
    """One blob, in base64 or raw."""
    data = next((d for one in of.commits for d in one.files.values() if blob_sha(d) == name), None)
    if data is None:
        raise Problem(*NOT_FOUND)
    if ask.wants("raw"):
        return _raw(data)
    url = f"{shapes.repository_url(of)}/git/blobs/{name}"
    return Answer({"sha": name, "url": url, "size": len(data), **_base64(data)})


@routes.on("GET", "/contents/{path*}")
def contents(ask: Ask, of: Repository, path: str) -> Answer:
    """A file (JSON or raw) or a directory; both have a Last-Modified."""
    ref = ask.query.get("ref", of.default_branch)
    at = commit_of(of, ref)
    path = path.strip("/")
    data = at.files.get(path)
    if data is not None:
        answer = _raw(data) if ask.wants("raw") else Answer(shapes.content(of, path, data, ref) | _base64(data))
        answer.modified = of.touched
        return answer
    prefix = f"{path}/" if path else ""
    inside = sorted(each for each in at.files if each.startswith(prefix))
    if not inside:
        raise Problem(*NOT_FOUND)
    return Answer(_directory(of, at, prefix, inside, ref), modified=of.touched)


@routes.on("GET", "/contents")
def root_contents(ask: Ask, of: Repository) -> Answer:
    """The root directory."""
    return contents(ask, of, "")


@routes.on("GET", "/readme")
def readme(ask: Ask, of: Repository) -> Answer:
    """The README, wherever it is."""
    return contents(ask, of, "README.md")


@routes.on("GET", "/releases")
def releases(ask: Ask, of: Repository) -> Answer:
    """Releases, newest first."""
    return repository_page(ask, of, of.releases, shapes.release)


@routes.on("GET", "/releases/latest")
def latest_release(_ask: Ask, of: Repository) -> Answer:
    """The newest release."""
    return _release(of, next(iter(of.releases), None))


@routes.on("GET", "/releases/tags/{tag*}")
def release_by_tag(_ask: Ask, of: Repository, tag: str) -> Answer:
    """A release by tag."""
    return _release(of, next((one for one in of.releases if one.tag == tag), None))


@routes.on("GET", "/releases/{number}")
def release(_ask: Ask, of: Repository, number: str) -> Answer:
    """A release by id."""
    return _release(of, next((one for one in of.releases if str(one.id) == number), None))


@routes.on("GET", "/tags")
def tags(ask: Ask, of: Repository) -> Answer:
    """The tags that releases made."""
    base = shapes.repository_url(of)
    first = {"sha": of.commits[-1].sha, "url": f"{base}/commits/{of.commits[-1].sha}"}
    return repository_page(ask, of, of.releases, lambda _, one: {"name": one.tag, "commit": first})


@routes.on("GET", "/contributors")
def contributors(ask: Ask, of: Repository) -> Answer:
    """Who committed."""
    authors = list(dict.fromkeys(one.author for one in of.commits))
    return repository_page(ask, of, authors, lambda _, one: shapes.account(one))


@routes.on("GET", "/languages")
def languages(_ask: Ask, of: Repository) -> Answer:
    """Bytes by language."""
    return Answer({"Python": sum(len(data) for path, data in of.files.items() if path.endswith(".py"))})


@routes.on("GET", "/events")
def events(_ask: Ask, of: Repository) -> Answer:
    """Pushes; with the interval at which GitHub allows polling."""
    pushed = [{"id": one.sha, "type": "PushEvent", "repo": {"id": of.id, "name": of.full_name}} for one in of.commits]
    return Answer(pushed, headers={"x-poll-interval": "60"})


@routes.on("GET", "/actions/runs")
def runs(ask: Ask, of: Repository) -> Answer:
    """Workflow runs, newest first, in GitHub's envelope."""
    answer = repository_page(ask, of, of.runs, shapes.run)
    answer.body = {"total_count": len(of.runs), "workflow_runs": answer.body}
    return answer


@routes.on("GET", "/actions/workflows")
def workflows(_ask: Ask, of: Repository) -> Answer:
    """The one workflow that made the runs."""
    url = f"{shapes.repository_url(of)}/actions/workflows/1"
    return Answer({"total_count": 1, "workflows": [{"id": 1, "name": "CI", "state": "active", "url": url}]})


@routes.on("GET", "/actions/runs/{number}")
def run(_ask: Ask, of: Repository, number: str) -> Answer:
    """One finished run."""
    found = next((one for one in of.runs if str(one.id) == number), None)
    if found is None:
        raise Problem(*NOT_FOUND)
    return Answer(shapes.run(of, found))


@routes.on("GET", "/{form}/{ref*}")
def archive(_ask: Ask, of: Repository, form: str, ref: str) -> Answer:
    """An archive is a redirect to a signed address that soon expires."""
    suffix = {"tarball": "tar.gz", "zipball": "zip"}.get(form)
    if suffix is None:
        raise Problem(*NOT_FOUND)
    at = commit_of(of, ref or of.default_branch)
    signature = sha("signed", of.id, at.sha, at.at + timedelta(minutes=5))
    location = f"https://codeload.github.com/{of.full_name}/legacy.{suffix}/{at.sha}?token={signature}"
    return Answer(status=302, headers={"location": location, "cache-control": "public, must-revalidate, max-age=0"})


def _empty(_ask: Ask, of: Repository) -> Answer:  # noqa: ARG001 - a handler like the others
    return Answer([])


for _name in EMPTY_LISTS:
    routes.on("GET", f"/{_name}")(_empty)


def _in_state(ask: Ask, issues: list[Issue]) -> list[Issue]:
    state = ask.query.get("state", "open")
    return [one for one in issues if state in {one.state, "all"}]


def _release(of: Repository, found: Release | None) -> Answer:
    if found is None:
        raise Problem(*NOT_FOUND)
    return Answer(shapes.release(of, found))


def _raw(data: bytes) -> Answer:
    return Answer(data, headers={"content-type": "application/vnd.github.raw; charset=utf-8"})


def _base64(data: bytes) -> dict[str, str]:
    return {"content": base64.encodebytes(data).decode(), "encoding": "base64"}


def _directory(of: Repository, at: Commit, prefix: str, inside: list[str], ref: str) -> list[shapes.Json]:
    listed: dict[str, shapes.Json] = {}
    for path in inside:
        first, slash, _ = path[len(prefix) :].partition("/")
        shaped = shapes.content(of, prefix + first, at.files[path], ref)
        if slash:
            shaped |= {"type": "dir", "size": 0, "download_url": None, "sha": sha("dir", at.sha, prefix + first)}
        listed.setdefault(first, shaped)
    return list(listed.values())
