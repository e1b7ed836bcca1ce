"""One secret, several GitHubs: neither a swarm nor a directory carries an answer from one to another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forks import Forks
from tests.support.processes import GitHub, job
from tests.support.trust import APP, JOB, OTHER_JOB, Swarm, announced, github

TARGET = f"/repos/{APP}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GitHub, GitHub]]:
    """Two GitHubs that have a repository of the same name, and answer differently."""
    with github(tmp_path_factory.mktemp("one")) as one, github(tmp_path_factory.mktemp("two")) as two:
        two.order("edit", repo=APP, issue=1, fields={"title": "Of the second server"})
        yield one, two


@pytest.fixture
def swarm(forks: Forks, tmp_path: Path, servers: tuple[GitHub, GitHub]) -> Iterator[Swarm]:
    for server in servers:
        server.order("reset-calls")
    with Swarm(forks, tmp_path, servers[0].url) as swarm:
        yield swarm


def test_peers_of_one_swarm(swarm: Swarm, servers: tuple[GitHub, GitHub]) -> None:
    one, two = servers
    hub = swarm.hub(**job(JOB, APP))
    same = swarm.member("same", hub, **job(OTHER_JOB, APP))
    other = swarm.member("other", hub, "--upstream", two.url, **job(OTHER_JOB, APP))
    target = f"{TARGET}/issues/1"
    hub.get(target, JOB)
    announced(same)
    announced(other)
    assert same.get(target, OTHER_JOB)[1]["cache-status"].endswith("; detail=peer"), "the swarm does share"
    status, headers, body = other.get(target, OTHER_JOB)
    assert status == 200
    assert b"Of the second server" in body
    assert headers["cache-status"] == "p2pcache; fwd=uri-miss; fwd-status=200; stored", "not even a proof of it"
    assert (len(one.calls(target)), len(two.calls(target))) == (1, 1)


def test_a_write_on_one_leaves_the_other(swarm: Swarm, servers: tuple[GitHub, GitHub]) -> None:
    hub = swarm.hub(**job(JOB, APP))
    other = swarm.member("other", hub, "--upstream", servers[1].url, **job(OTHER_JOB, APP))
    other.get(f"{TARGET}/labels", OTHER_JOB)
    hub.control("purge", {"url": f"{TARGET}/labels"})
    again = other.get(f"{TARGET}/labels", OTHER_JOB)
    assert again[1]["cache-status"].endswith("; detail=memory")


def test_one_directory_over_time(forks: Forks, swarm: Swarm, servers: tuple[GitHub, GitHub], tmp_path: Path) -> None:
    target = f"{TARGET}/issues/1"
    where = ("--dir", str(tmp_path / "store"), "--no-p2p")
    with Swarm(forks, tmp_path / "1", servers[0].url) as first:
        first.secret = swarm.secret
        assert first.alone("a", *where, **job(JOB, APP)).get(target, JOB)[0] == 200
    with Swarm(forks, tmp_path / "2", servers[1].url) as second:
        second.secret = swarm.secret
        _, headers, body = second.alone("b", *where, **job(JOB, APP)).get(target, JOB)
        assert b"Of the second server" in body
        assert headers["cache-status"].startswith("p2pcache; fwd=uri-miss"), "as if the directory were empty"
    with Swarm(forks, tmp_path / "3", servers[0].url.replace("http:", "HTTP:") + "/") as third:
        third.secret = swarm.secret
        _, headers, body = third.alone("c", *where, **job(JOB, APP)).get(target, JOB)
        assert headers["cache-status"].endswith("; detail=disk"), "the same server, however it is written"
        assert b"Of the second server" not in body


def test_the_quota_of_one_is_not_the_others(swarm: Swarm, servers: tuple[GitHub, GitHub]) -> None:
    """Both jobs are of the same repository by name; their buckets are two, and no hearsay joins them."""
    hub = swarm.hub(**job(JOB, APP))
    other = swarm.member("other", hub, "--upstream", servers[1].url, **job(OTHER_JOB, APP))
    same = swarm.member("same", hub, **job(OTHER_JOB, APP))
    for page in range(3):
        hub.get(f"{TARGET}/issues?per_page=5&page={page}", JOB)
    same.until(lambda stats: stats["quota"], "word of the quota")
    assert other.control("stats")["quota"] == []
