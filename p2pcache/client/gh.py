"""Run gh with its requests through the node of this machine."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from p2pcache.client.discovery import NodeNotFoundError, get_global_cache
from p2pcache.runner.job import Job, write_gh_config
from p2pcache.settings import environment

logger = logging.getLogger(__name__)

GH_SECONDS = 120.0

REPOSITORY_FIELDS = "name,nameWithOwner,description,url,isPrivate,isFork,isArchived,defaultBranchRef,updatedAt"
ISSUE_FIELDS = "number,title,state,url,author,labels,createdAt,updatedAt"


class GitHubCLIError(RuntimeError):
    """gh failed; `status` is its exit status (None if it did not run), `stderr` its error output."""

    def __init__(self, message: str, status: int | None = None, stderr: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.stderr = stderr


class GitHubCLI:
    """The installed gh, with its requests through the running node.

    Args:
        enable_cache: False runs gh without the node.
        enable_p2p: False uses the node only while it has no peers, so that no answer comes from a peer.
        timeout: seconds for each run of gh.
    """

    def __init__(self, enable_cache: bool = True, enable_p2p: bool = True, *, timeout: float = GH_SECONDS) -> None:
        self._enable_cache = enable_cache
        self._enable_p2p = enable_p2p
        self._timeout = timeout
        self._warned = False

    def list_repos(self, owner: str, limit: int = 30) -> list[dict[str, Any]]:
        """Return repositories of a user or organization, newest push first (``gh repo list``)."""
        return self._list("repo", "list", "--limit", str(limit), "--json", REPOSITORY_FIELDS, "--", owner)

    def repo_view(self, repository: str) -> dict[str, Any]:
        """Return one repository, ``OWNER/NAME`` (``gh repo view``)."""
        found: dict[str, Any] = self._json("repo", "view", "--json", REPOSITORY_FIELDS, "--", repository)
        return found

    def list_issues(self, repository: str, state: str = "open", limit: int = 30) -> list[dict[str, Any]]:
        """Return issues of ``OWNER/NAME``; `state` is open, closed or all (``gh issue list``)."""
        return self._list("issue", *self._filter(repository, state, limit))

    def list_pull_requests(self, repository: str, state: str = "open", limit: int = 30) -> list[dict[str, Any]]:
        """Return pull requests of ``OWNER/NAME``; `state` is open, closed, merged or all (``gh pr list``)."""
        return self._list("pr", *self._filter(repository, state, limit))

    def api(self, path: str, *, paginate: bool = False) -> Any:
        """Return the answer to a REST path, e.g. ``repos/OWNER/NAME/tags``; with `paginate`, all pages as one list."""
        text = self.run("api", *(("--paginate",) if paginate else ()), "--", path)
        try:
            pages = list(_documents(text))
        except ValueError:
            raise GitHubCLIError(f"{path} is not JSON: `run` gives what gh prints as it is") from None
        if len(pages) > 1 and all(isinstance(page, list) for page in pages):
            return [item for page in pages for item in page]
        return pages[0] if len(pages) == 1 else pages or None

    def run(self, *arguments: str) -> str:
        """Run ``gh ARGUMENTS…`` and return its output.

        Raises:
            GitHubCLIError: gh is missing, failed, or exceeded the timeout (raised by every method).
        """
        gh = shutil.which("gh")
        if gh is None:
            raise GitHubCLIError("gh is not installed; see https://cli.github.com")
        with tempfile.TemporaryDirectory(prefix="p2pcache-gh-") as directory:
            variables = environment()
            config = write_gh_config(Job(Path(directory)), str(self._socket() or ""), variables)
            try:
                done = subprocess.run(  # noqa: S603 - no shell, and gh takes what follows "--" as names
                    [gh, *arguments],
                    env={**variables, "GH_CONFIG_DIR": str(config.parent)},
                    capture_output=True,
                    text=True,
                    timeout=self._timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise GitHubCLIError(f"gh {arguments[0]} took more than {self._timeout:g} s") from None
        if done.returncode:
            reason = done.stderr.strip() or "it said nothing"
            raise GitHubCLIError(f"gh {arguments[0]} failed: {reason}", done.returncode, done.stderr)
        return done.stdout

    def _socket(self) -> Path | None:
        """Return the node's socket if it may be used; gh itself cannot bypass a socket that does not answer."""
        if not self._enable_cache:
            return None
        node = get_global_cache()
        try:
            peers = node.stats()["peers"]
        except NodeNotFoundError as error:
            self._warn(str(error))
            return None
        if not self._enable_p2p and (peers["connected"] or peers["known"]):
            self._warn("the node has peers and enable_p2p is off")
            return None
        return node.path

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("%s: gh asks GitHub directly", reason)

    @staticmethod
    def _filter(repository: str, state: str, limit: int) -> tuple[str, ...]:
        chosen = (f"--repo={repository}", f"--state={state}", f"--limit={limit}")
        return "list", *chosen, "--json", ISSUE_FIELDS

    def _json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments))

    def _list(self, *arguments: str) -> list[dict[str, Any]]:
        return msgspec.convert(self._json(*arguments), list[dict[str, Any]])


def _documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents of a text: gh before 2.48 prints the pages of a list one after the other."""
    decoder = json.JSONDecoder()
    text = text.strip()
    position = 0
    while position < len(text):
        document, position = decoder.raw_decode(text, position)
        position += len(text[position:]) - len(text[position:].lstrip())
        yield document
