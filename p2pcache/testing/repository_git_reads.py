"""Handlers of GET in a repository: commits, refs, files, releases, runs, archives."""

from __future__ import annotations

import base64
from datetime import timedelta

from p2pcache.testing import git_shapes, shapes
from p2pcache.testing.routing import NOT_FOUND, Answer, Ask, Problem, Routes, repository_page
from p2pcache.testing.world import Commit, Release, Repository, blob_sha, sha

routes = Routes()


def commit_of(repository: Repository, ref: str) -> Commit:
    """Return a commit by SHA, branch or tag, or GitHub's 422."""
    if found := repository.commit(ref):
        return found
    raise Problem(422, f"No commit found for SHA: {ref}")


@routes.on("GET", "/commits")
def commits(ask: Ask, of: Repository) -> Answer:
    """Return the history from `sha` (default: the default branch) backwards."""
    tip = commit_of(of, ask.query.get("sha", of.default_branch))
    answer = repository_page(ask, of, of.commits[of.commits.index(tip) :], git_shapes.commit)
    answer.modified = of.touched
    return answer


@routes.on("GET", "/commits/{ref*}")
def commit(ask: Ask, of: Repository, ref: str) -> Answer:
    """Return one commit, as JSON, diff, patch or its bare SHA; it has a Last-Modified."""
    found = commit_of(of, ref)
    if ask.wants("sha"):
        headers = {"content-type": "application/vnd.github.sha; charset=utf-8"}
        return Answer(found.sha.encode(), headers=headers, modified=of.touched, tag=found.sha)
    if as_text := git_shapes.text(ask, of, found):
        as_text.modified = of.touched
        return as_text
    return Answer(git_shapes.commit(of, found), modified=of.touched)


@routes.on("GET", "/branches")
def branches(ask: Ask, of: Repository) -> Answer:
    """Return the branches by name."""
    return repository_page(ask, of, sorted(of.branches), git_shapes.branch)


@routes.on("GET", "/branches/{name*}")
def branch(_ask: Ask, of: Repository, name: str) -> Answer:
    """Return one branch with its tip."""
    if name not in of.branches:
        raise Problem(404, "Branch not found")
    return Answer(git_shapes.branch(of, name) | {"commit": git_shapes.commit(of, commit_of(of, name))})


@routes.on("GET", "/git/refs")
def references(ask: Ask, of: Repository) -> Answer:
    """Return the branches as refs."""
    return repository_page(ask, of, sorted(of.branches), git_shapes.reference)


@routes.on("GET", "/git/ref/heads/{name*}")
def reference(_ask: Ask, of: Repository, name: str) -> Answer:
    """Return one ref."""
    if name not in of.branches:
        raise Problem(*NOT_FOUND)
    return Answer(git_shapes.reference(of, name))


@routes.on("GET", "/git/commits/{name}")
def git_commit(_ask: Ask, of: Repository, name: str) -> Answer:
    """Return a Git commit object."""
    found = commit_of(of, name)
    return Answer({"sha": found.sha, **git_shapes.git_commit(of, found)})


@routes.on("GET", "/git/trees/{name}")
def tree(_ask: Ask, of: Repository, name: str) -> Answer:
    """Return all files of a commit or tree, always recursively."""
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
    """Return one blob, in base64 or raw."""
    data = next((d for one in of.commits for d in one.files.values() if blob_sha(d) == name), None)
    if data is None:
        raise Problem(*NOT_FOUND)
    if ask.wants("raw"):
        return _raw(data)
    url = f"{shapes.repository_url(of)}/git/blobs/{name}"
    return Answer({"sha": name, "url": url, "size": len(data), **_base64(data)})


@routes.on("GET", "/contents/{path*}")
def contents(ask: Ask, of: Repository, path: str) -> Answer:
    """Return a file (JSON or raw) or a directory; both have a Last-Modified."""
    ref = ask.query.get("ref", of.default_branch)
    at = commit_of(of, ref)
    path = path.strip("/")
    data = at.files.get(path)
    if data is not None:
        answer = _raw(data) if ask.wants("raw") else Answer(git_shapes.content(of, path, data, ref) | _base64(data))
        answer.modified, answer.tag = of.touched, blob_sha(data)
        return answer
    prefix = f"{path}/" if path else ""
    inside = sorted(each for each in at.files if each.startswith(prefix))
    if not inside:
        raise Problem(*NOT_FOUND)
    # The tag of every directory is the root tree of the ref.
    return Answer(_directory(of, at, prefix, inside, ref), modified=of.touched, tag=at.tree)


@routes.on("GET", "/contents")
def root_contents(ask: Ask, of: Repository) -> Answer:
    """Return the root directory."""
    return contents(ask, of, "")


@routes.on("GET", "/readme")
def readme(ask: Ask, of: Repository) -> Answer:
    """Return the README, wherever it is."""
    return contents(ask, of, "README.md")


@routes.on("GET", "/releases")
def releases(ask: Ask, of: Repository) -> Answer:
    """Return releases, newest first."""
    return repository_page(ask, of, of.releases, git_shapes.release)


@routes.on("GET", "/releases/latest")
def latest_release(_ask: Ask, of: Repository) -> Answer:
    """Return the newest release."""
    return _release(of, next(iter(of.releases), None))


@routes.on("GET", "/releases/tags/{tag*}")
def release_by_tag(_ask: Ask, of: Repository, tag: str) -> Answer:
    """Return a release by tag."""
    return _release(of, next((one for one in of.releases if one.tag == tag), None))


@routes.on("GET", "/releases/{number}")
def release(_ask: Ask, of: Repository, number: str) -> Answer:
    """Return a release by id."""
    return _release(of, next((one for one in of.releases if str(one.id) == number), None))


@routes.on("GET", "/tags")
def tags(ask: Ask, of: Repository) -> Answer:
    """Return the tags of the releases."""
    base = shapes.repository_url(of)
    first = {"sha": of.commits[-1].sha, "url": f"{base}/commits/{of.commits[-1].sha}"}
    return repository_page(ask, of, of.releases, lambda _, one: {"name": one.tag, "commit": first})


@routes.on("GET", "/actions/runs")
def runs(ask: Ask, of: Repository) -> Answer:
    """Return workflow runs, newest first, in GitHub's envelope."""
    answer = repository_page(ask, of, of.runs, git_shapes.run)
    answer.body = {"total_count": len(of.runs), "workflow_runs": answer.body}
    return answer


@routes.on("GET", "/actions/workflows")
def workflows(_ask: Ask, of: Repository) -> Answer:
    """Return the workflow of all runs."""
    url = f"{shapes.repository_url(of)}/actions/workflows/1"
    return Answer({"total_count": 1, "workflows": [{"id": 1, "name": "CI", "state": "active", "url": url}]})


@routes.on("GET", "/actions/caches")
def caches(_ask: Ask, _of: Repository) -> Answer:
    """Return no entries of the Actions cache."""
    return Answer({"total_count": 0, "actions_caches": []})


@routes.on("GET", "/actions/runs/{number}")
def run(_ask: Ask, of: Repository, number: str) -> Answer:
    """Return one finished run."""
    found = next((one for one in of.runs if str(one.id) == number), None)
    if found is None:
        raise Problem(*NOT_FOUND)
    return Answer(git_shapes.run(of, found))


@routes.on("GET", "/{form}/{ref*}")
def archive(_ask: Ask, of: Repository, form: str, ref: str) -> Answer:
    """Redirect to the signed URL of an archive, which expires soon."""
    suffix = {"tarball": "tar.gz", "zipball": "zip"}.get(form)
    if suffix is None:
        raise Problem(*NOT_FOUND)
    at = commit_of(of, ref or of.default_branch)
    signature = sha("signed", of.id, at.sha, at.at + timedelta(minutes=5))
    location = f"https://codeload.github.com/{of.full_name}/legacy.{suffix}/{at.sha}?token={signature}"
    return Answer(status=302, headers={"location": location, "cache-control": "public, must-revalidate, max-age=0"})


def _release(of: Repository, found: Release | None) -> Answer:
    if found is None:
        raise Problem(*NOT_FOUND)
    return Answer(git_shapes.release(of, found))


def _raw(data: bytes) -> Answer:
    return Answer(data, headers={"content-type": "application/vnd.github.raw; charset=utf-8"})


def _base64(data: bytes) -> dict[str, str]:
    return {"content": base64.encodebytes(data).decode(), "encoding": "base64"}


def _directory(of: Repository, at: Commit, prefix: str, inside: list[str], ref: str) -> list[shapes.Json]:
    listed: dict[str, shapes.Json] = {}
    for path in inside:
        first, slash, _ = path[len(prefix) :].partition("/")
        shaped = git_shapes.content(of, prefix + first, at.files[path], ref)
        if slash:
            shaped |= {"type": "dir", "size": 0, "download_url": None, "sha": sha("dir", at.sha, prefix + first)}
        listed.setdefault(first, shaped)
    return list(listed.values())
