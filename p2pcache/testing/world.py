"""The synthetic accounts and repositories, equal for equal seeds."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
FIRST_ID = 10_000  # above the ids of recorded traffic, which are normalised to 1000 and up


@dataclass(slots=True, eq=False)
class Account:
    """A user or an organization."""

    id: int
    login: str
    kind: str = "User"

    @property
    def node_id(self) -> str:
        """The id in GraphQL."""
        return node_id(self.kind, self.id)


@dataclass(slots=True, eq=False)
class Label:
    """A label of a repository."""

    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass(slots=True, eq=False)
class Comment:
    """A comment on an issue or pull request."""

    id: int
    body: str
    author: Account
    created: datetime
    updated: datetime


@dataclass(slots=True, eq=False)
class Issue:
    """An issue, or a pull request when `head` names its branch."""

    id: int
    number: int
    title: str
    author: Account
    created: datetime
    updated: datetime
    body: str | None = None
    closed: datetime | None = None
    labels: list[Label] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    head: str | None = None

    @property
    def state(self) -> str:
        """``open`` or ``closed``."""
        return "closed" if self.closed else "open"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit; its tree is the files of that moment."""

    sha: str
    message: str
    author: Account
    at: datetime
    parent: str | None
    files: dict[str, bytes]

    @property
    def tree(self) -> str:
        """The tree's SHA."""
        return sha("tree", *(f"{path}:{blob_sha(content)}" for path, content in sorted(self.files.items())))


@dataclass(frozen=True, slots=True)
class Asset:
    """An uploaded file of a release."""

    id: int
    name: str
    content: bytes
    at: datetime
    author: Account


@dataclass(slots=True, eq=False)
class Release:
    """A published release."""

    id: int
    tag: str
    at: datetime
    author: Account
    assets: list[Asset] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Run:
    """A finished workflow run."""

    id: int
    number: int
    sha: str
    at: datetime


@dataclass(slots=True, eq=False)
class Repository:
    """A repository with its objects. `commits` is newest first.

    `updated` is the time in bodies; `touched` is the time of the last change to any object, for Last-Modified.
    """

    id: int
    owner: Account
    name: str
    private: bool
    created: datetime
    updated: datetime
    touched: datetime
    description: str | None = None
    default_branch: str = "main"
    labels: list[Label] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    releases: list[Release] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner.login}/{self.name}"

    @property
    def files(self) -> dict[str, bytes]:
        """The files at the tip of the default branch."""
        return self.commits[0].files

    def issue(self, number: int) -> Issue | None:
        """Return the issue or pull request with this number, or None."""
        return next((issue for issue in self.issues if issue.number == number), None)

    def label(self, name: str) -> Label | None:
        """Return the label with this name in any case, or None."""
        return next((label for label in self.labels if label.name.lower() == name.lower()), None)

    def commit(self, ref: str) -> Commit | None:
        """Return the commit at a SHA, branch, release tag or qualified ref, or None."""
        name = ref.removeprefix("refs/").removeprefix("heads/").removeprefix("tags/")
        at = self.branches.get(self.default_branch if name == "HEAD" else name, name)
        if any(release.tag == name for release in self.releases):
            at = self.commits[-1].sha
        return next((commit for commit in self.commits if commit.sha == at), None)


class World:
    """All accounts and repositories.

    The clock advances a minute with each event, so that equal histories give equal bytes.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[int, Repository] = {}
        self._names: dict[str, int] = {}
        self._last_id = FIRST_ID
        self._events = 0

    def next_id(self) -> int:
        """Return a unique id."""
        self._last_id += 1
        return self._last_id

    def now(self) -> datetime:
        """Return the time of the next event."""
        self._events += 1
        return EPOCH + timedelta(minutes=self._events)

    def account(self, login: str, kind: str = "User") -> Account:
        """Return the account with this name, created on first use."""
        key = login.lower()
        if key not in self.accounts:
            self.accounts[key] = Account(self.next_id(), login, kind)
        return self.accounts[key]

    def add(self, repository: Repository) -> None:
        """Register a new repository under its name."""
        self.repositories[repository.id] = repository
        self._names[repository.full_name.lower()] = repository.id

    def named(self, full_name: str) -> Repository | None:
        """Return the repository with this present or former name, or None."""
        found = self._names.get(full_name.lower())
        return None if found is None else self.repositories[found]

    def rename(self, repository: Repository, full_name: str) -> None:
        """Rename a repository; the old name redirects until another repository takes it.

        Raises:
            ValueError: the name is not OWNER/REPO, or it exists.
        """
        owner, _, name = full_name.partition("/")
        if not (owner and name):
            raise ValueError(f"a repository's name is OWNER/REPO, not {full_name!r}")
        taken = self.named(full_name)
        if taken is not None and taken is not repository and taken.full_name.lower() == full_name.lower():
            raise ValueError(f"{full_name} exists already")
        repository.owner, repository.name = self.account(owner, "Organization"), name
        repository.updated = repository.touched = self.now()
        self._names[full_name.lower()] = repository.id

    def commit_files(self, repository: Repository, author: Account, message: str, files: dict[str, bytes]) -> Commit:
        """Add a commit to the default branch whose tree is exactly `files`."""
        parent = repository.commits[0].sha if repository.commits else None
        at = self.now()
        commit = Commit(
            sha("commit", self.seed, repository.id, parent, message, at), message, author, at, parent, files
        )
        repository.commits.insert(0, commit)
        repository.branches[repository.default_branch] = commit.sha
        repository.updated = repository.touched = at
        return commit


def sha(*parts: object) -> str:
    """Return 40 hex digits derived from all of `parts`."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:40]


def blob_sha(content: bytes) -> str:
    """Return the Git object id of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def node_id(kind: str, number: int) -> str:
    """Return an opaque GraphQL id."""
    return base64.b64encode(f"0{len(kind)}:{kind}{number}".encode()).decode()


def stamp(at: datetime) -> str:
    """Format a time as GitHub does (ISO 8601)."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
