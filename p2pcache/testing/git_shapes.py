"""REST's JSON for commits, refs, files, releases and runs."""

from __future__ import annotations

import difflib
import hashlib
from urllib.parse import quote

from p2pcache.testing.routing import Answer, Ask
from p2pcache.testing.shapes import WEB, Json, account, repository, repository_url
from p2pcache.testing.world import Asset, Commit, Release, Repository, Run, blob_sha, node_id, stamp


def git_commit(of: Repository, one: Commit) -> Json:
    """Return the Git half of a commit."""
    who = {"name": one.author.login, "email": f"{one.author.login}@example.com", "date": stamp(one.at)}
    return {
        "author": who,
        "committer": who,
        "message": one.message,
        "tree": {"sha": one.tree, "url": f"{repository_url(of)}/git/trees/{one.tree}"},
        "url": f"{repository_url(of)}/git/commits/{one.sha}",
        "comment_count": 0,
    }


def commit(of: Repository, one: Commit) -> Json:
    """Return a commit."""
    url = f"{repository_url(of)}/commits/{one.sha}"
    parents = [{"sha": one.parent, "url": f"{repository_url(of)}/commits/{one.parent}"}] if one.parent else []
    return {
        "sha": one.sha,
        "node_id": node_id("Commit", int(one.sha[:8], 16)),
        "commit": git_commit(of, one),
        "url": url,
        "html_url": f"{WEB}/{of.full_name}/commit/{one.sha}",
        "comments_url": f"{url}/comments",
        "author": account(one.author),
        "committer": account(one.author),
        "parents": parents,
    }


def branch(of: Repository, name: str) -> Json:
    """Return a branch in a list."""
    tip = of.branches[name]
    return {"name": name, "commit": {"sha": tip, "url": f"{repository_url(of)}/commits/{tip}"}, "protected": False}


def reference(of: Repository, name: str) -> Json:
    """Return a branch as a Git ref."""
    url = f"{repository_url(of)}/git"
    tip = {"sha": of.branches[name], "type": "commit", "url": f"{url}/commits/{of.branches[name]}"}
    return {"ref": f"refs/heads/{name}", "node_id": "", "url": f"{url}/refs/heads/{name}", "object": tip}


def release(of: Repository, one: Release) -> Json:
    """Return a release."""
    url = f"{repository_url(of)}/releases/{one.id}"
    return {
        "url": url,
        "assets_url": f"{url}/assets",
        "upload_url": f"https://uploads.github.com/repos/{of.full_name}/releases/{one.id}/assets{{?name,label}}",
        "html_url": f"{WEB}/{of.full_name}/releases/tag/{one.tag}",
        "id": one.id,
        "node_id": node_id("Release", one.id),
        "author": account(one.author),
        "tag_name": one.tag,
        "target_commitish": of.default_branch,
        "name": f"Release {one.tag}",
        "draft": False,
        "prerelease": False,
        "created_at": stamp(one.at),
        "published_at": stamp(one.at),
        "assets": [asset(of, one, each) for each in one.assets],
        "tarball_url": f"{repository_url(of)}/tarball/{one.tag}",
        "zipball_url": f"{repository_url(of)}/zipball/{one.tag}",
        "body": f"What is new in {one.tag}",
    }


def asset(of: Repository, release: Release, one: Asset) -> Json:
    """Return an uploaded file."""
    return {
        "url": f"{repository_url(of)}/releases/assets/{one.id}",
        "id": one.id,
        "node_id": node_id("ReleaseAsset", one.id),
        "name": one.name,
        "label": "",
        "uploader": account(one.author),
        "content_type": "application/octet-stream",
        "state": "uploaded",
        "size": len(one.content),
        "digest": f"sha256:{hashlib.sha256(one.content).hexdigest()}",
        "download_count": 0,
        "created_at": stamp(one.at),
        "updated_at": stamp(one.at),
        "browser_download_url": f"{WEB}/{of.full_name}/releases/download/{release.tag}/{one.name}",
    }


def run(of: Repository, one: Run) -> Json:
    """Return a finished workflow run."""
    url = f"{repository_url(of)}/actions/runs/{one.id}"
    return {
        "id": one.id,
        "name": "CI",
        "node_id": node_id("WorkflowRun", one.id),
        "head_branch": of.default_branch,
        "head_sha": one.sha,
        "run_number": one.number,
        "run_attempt": 1,
        "event": "push",
        "display_title": of.commits[0].message,
        "status": "completed",
        "conclusion": "success",
        "workflow_id": 1,
        "url": url,
        "html_url": f"{WEB}/{of.full_name}/actions/runs/{one.id}",
        "created_at": stamp(one.at),
        "updated_at": stamp(one.at),
        "run_started_at": stamp(one.at),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "repository": repository(of),
    }


def content(of: Repository, path: str, data: bytes, ref: str) -> Json:
    """Return a file in a directory listing, without its content."""
    blob = blob_sha(data)
    url = f"{repository_url(of)}/contents/{quote(path)}?ref={quote(ref)}"
    html = f"{WEB}/{of.full_name}/blob/{ref}/{quote(path)}"
    git = f"{repository_url(of)}/git/blobs/{blob}"
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": blob,
        "size": len(data),
        "url": url,
        "html_url": html,
        "git_url": git,
        "download_url": f"https://raw.githubusercontent.com/{of.full_name}/{ref}/{quote(path)}",
        "type": "file",
        "_links": {"self": url, "git": git, "html": html},
    }


def changed_file(of: Repository, path: str) -> Json:
    """Return a file that a pull request changes."""
    tip = of.commits[0]
    return {
        "sha": blob_sha(tip.files[path]),
        "filename": path,
        "status": "modified",
        "additions": 1,
        "deletions": 1,
        "changes": 2,
        "blob_url": f"{WEB}/{of.full_name}/blob/{tip.sha}/{quote(path)}",
        "raw_url": f"{WEB}/{of.full_name}/raw/{tip.sha}/{quote(path)}",
        "contents_url": f"{repository_url(of)}/contents/{quote(path)}?ref={tip.sha}",
        "patch": "@@ -1 +1 @@",
    }


def found_code(of: Repository, path: str) -> Json:
    """Return a file in a code search."""
    tip = of.commits[0]
    shaped = content(of, path, tip.files[path], tip.sha)
    names = ("name", "path", "sha", "url", "git_url", "html_url")
    return {name: shaped[name] for name in names} | {"repository": repository(of), "score": 1.0}


def text(ask: Ask, of: Repository, one: Commit) -> Answer | None:
    """Return a commit as a diff or patch if the request's media type selects one, else None."""
    form = next((each for each in ("diff", "patch") if ask.wants(each)), None)
    if form is None:
        return None
    head = f"From {one.sha}\nFrom: {one.author.login} <{one.author.login}@example.com>\nSubject: {one.message}\n\n"
    body = diff(of, one) if form == "diff" else head + diff(of, one)
    return Answer(body.encode(), headers={"content-type": f"application/vnd.github.{form}; charset=utf-8"})


def diff(of: Repository, one: Commit) -> str:
    """Return the diff of a commit in Git's format."""
    parent = of.commit(one.parent) if one.parent else None
    before, after = parent.files if parent else {}, one.files
    pieces = []
    for path in sorted(before.keys() | after.keys()):
        old, new = (files.get(path, b"").decode("utf-8", "replace").splitlines() for files in (before, after))
        if changed := list(difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", lineterm="")):
            pieces += [f"diff --git a/{path} b/{path}", *changed]
    return "".join(f"{line}\n" for line in pieces)
