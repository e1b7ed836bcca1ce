"""Content of a repository, derived from the seed."""

from __future__ import annotations

import random

from p2pcache.testing.world import Issue, Label, Release, Repository, Run, World, sha

_LABELS = (
    ("bug", "d73a4a", "Something isn't working"),
    ("enhancement", "a2eeef", "New feature or request"),
    ("documentation", "0075ca", None),
    ("good first issue", "7057ff", "Good for newcomers"),
)
_VERBS = ("Speed up", "Document", "Fix", "Rework", "Test", "Simplify", "Guard")
_THINGS = ("the parser", "retries", "the résumé page", "log rotation", "start-up", "the matrix build", "caching")
_PEOPLE = ("mona", "hubot", "ada", "linus")


def build_repository(
    world: World,
    full_name: str,
    *,
    private: bool = False,
    issues: int = 3,
    pulls: int = 2,
    commits: int = 5,
    branches: int = 2,
    releases: int = 2,
    runs: int = 2,
    files: dict[str, bytes] | None = None,
) -> Repository:
    """Add a repository with the given numbers of objects.

    Issues are numbered from 1, pull requests after them; as at GitHub, a list of issues contains both.

    Raises:
        ValueError: the name is not OWNER/REPO, or it exists.
    """
    owner, _, name = full_name.partition("/")
    if not (owner and name) or "/" in name:
        raise ValueError(f"a repository's name is OWNER/REPO, not {full_name!r}")
    taken = world.named(full_name)
    if taken is not None and taken.full_name.lower() == full_name.lower():
        raise ValueError(f"{full_name} exists already: use edit() to change it")
    at = world.now()
    account = world.account(owner, "Organization")
    repository = Repository(world.next_id(), account, name, private, at, at, at, f"Synthetic repository {full_name}")
    world.add(repository)
    chance = random.Random(f"{world.seed}/{full_name}")  # noqa: S311 - the same content each time is the point
    repository.labels = [Label(world.next_id(), *label) for label in _LABELS]
    _history(world, repository, commits, files, chance)
    for number in range(2, branches + 1):
        repository.branches[f"topic-{number - 1}"] = repository.commits[-1].sha
    for number in range(1, issues + pulls + 1):
        repository.issues.insert(0, _issue(world, repository, number, number > issues, chance))
    author = world.account(_PEOPLE[0])
    for number in range(1, releases + 1):
        repository.releases.insert(0, Release(world.next_id(), f"v{number}.0.0", world.now(), author))
    for number in range(1, runs + 1):
        repository.runs.insert(0, Run(world.next_id(), number, repository.commits[0].sha, world.now()))
    return repository


def _history(
    world: World, repository: Repository, commits: int, files: dict[str, bytes] | None, chance: random.Random
) -> None:
    tree = {
        "README.md": f"# {repository.name}\n\nMade from seed {world.seed}.\n".encode(),
        "src/main.py": b'print("hello")\n',
        **(files or {}),
    }
    for number in range(1, max(1, commits) + 1):
        content = f"{chance.random()}\n".encode()
        author = world.account(chance.choice(_PEOPLE))
        world.commit_files(repository, author, f"Change number {number}", {**tree, "CHANGES": content})


def _issue(world: World, repository: Repository, number: int, pull: bool, chance: random.Random) -> Issue:
    at = world.now()
    return Issue(
        id=world.next_id(),
        number=number,
        title=f"{chance.choice(_VERBS)} {chance.choice(_THINGS)}",
        body=f"Details {sha(world.seed, repository.full_name, number)[:12]}.",
        author=world.account(chance.choice(_PEOPLE)),
        created=at,
        updated=at,
        labels=chance.sample(repository.labels, k=chance.randint(0, 2)),
        head=f"topic-{number}" if pull else None,
    )
