"""Jobs without a secret at a hub that admits by OIDC: what they share, and what they never see of each other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import command_files
from tests.support.forks import Forks
from tests.support.issuer import Issuer, issuer
from tests.support.processes import GitHub, Node, environment, job, running
from tests.support.trust import Swarm

ROOT = Path(__file__).parents[3]
APP, LIB = "octo/app", "octo/lib"
APP_ID, LIB_ID = "1001", "2002"
TOKENS = {"ghs_one": APP, "ghs_two": APP, "ghs_pull": APP, "ghs_lib": LIB}
Start = Callable[..., Node]


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    tokens = [f"--token={token}={repository}" for token, repository in TOKENS.items()]
    with running("p2pcache.testing", *tokens, home=tmp_path_factory.mktemp("github")) as said:
        yield GitHub(said["url"])


@pytest.fixture(scope="module")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with issuer(tmp_path_factory.mktemp("issuer")) as found:
        yield found


@pytest.fixture
def nodes(forks: Forks, tmp_path: Path, github: GitHub) -> Iterator[Swarm]:
    with Swarm(forks, tmp_path, github.url) as swarm:
        yield swarm


@pytest.fixture
def hub(nodes: Swarm, oidc: Issuer) -> Node:
    listed = {"CACHE_OIDC_REPOSITORIES": f"{APP_ID},{LIB_ID}", "CACHE_OIDC_ISSUER": oidc.url}
    return nodes.hub(**listed, **oidc.trust())


@pytest.fixture
def start(nodes: Swarm, oidc: Issuer, hub: Node) -> Start:
    """Start the node of a job without a secret."""

    def node(name: str, token: str, repository_id: str = APP_ID, **claims: str) -> Node:
        said = {**job(token, TOKENS[token]), **oidc.job(repository_id, **claims), "CACHE_SECRET": ""}
        return nodes.alone(name, "--bootstrap", hub.ready["multiaddrs"][0], **said)

    return node


@pytest.fixture
def admitted(start: Start) -> Start:
    """The same, and wait until the hub has admitted it."""

    def node(name: str, *job: str, **claims: str) -> Node:
        found = start(name, *job, **claims)
        found.until(lambda stats: stats["peers"]["connected"] > 0, f"{name} at the hub")
        return found

    return node


def peers(node: Node) -> set[str]:
    return {row["peer_id"] for row in node.control("peers")}


def announced(node: Node, count: int = 1) -> None:
    node.until(lambda _: sum(row["announced"] for row in node.control("peers")) >= count, "the announcement")


def test_jobs_share_within_their_repository_and_see_nothing_of_another(
    admitted: Start, hub: Node, github: GitHub
) -> None:
    one, lib, two = admitted("one", "ghs_one"), admitted("lib", "ghs_lib", LIB_ID), admitted("two", "ghs_two")
    one.until(lambda _: two.ready["peer_id"] in peers(one), "the other job")
    github.order("reset-calls")
    target = f"/repos/{APP}/issues?per_page=7"
    status, _, body = one.get(target, "ghs_one")
    announced(two)
    again, shown, same = two.get(target, "ghs_two")
    assert (status, again, same.replace(two.api_url.encode(), one.api_url.encode())) == (200, 200, body)
    assert shown["cache-status"].endswith("; detail=peer")
    assert len(github.calls()) == 1

    assert peers(lib) == {hub.ready["peer_id"]}
    assert lib.control("peers")[0]["announced"] == 0
    _, shown, _ = lib.get(target, "ghs_lib")
    assert "fwd=uri-miss" in shown["cache-status"]
    assert lib.ready["peer_id"] not in peers(one) | peers(two)


def test_a_pull_request_reads_what_main_wrote_and_main_never_gets_what_it_wrote(
    admitted: Start, hub: Node, github: GitHub
) -> None:
    main = admitted("main", "ghs_one")
    issues, labels = f"/repos/{APP}/issues?per_page=9", f"/repos/{APP}/labels?per_page=9"
    _, _, body = main.get(issues, "ghs_one")
    pull = admitted("pull", "ghs_pull", event="pull_request", ref="refs/pull/1/merge")
    announced(pull)
    github.order("reset-calls")
    status, shown, same = pull.get(issues, "ghs_pull")
    assert (status, same.replace(pull.api_url.encode(), main.api_url.encode())) == (200, body)
    assert shown["cache-status"].endswith("; detail=revalidated")
    assert github.charged() == 0

    pull.get(labels, "ghs_pull")
    other = admitted("other", "ghs_two", event="pull_request", ref="refs/pull/2/merge")
    again = admitted("again", "ghs_two", event="pull_request", ref="refs/pull/1/merge")
    announced(again, 2)
    assert "; detail=" in again.get(labels, "ghs_two")[1]["cache-status"]
    for node, token in ((other, "ghs_two"), (main, "ghs_one")):
        _, shown, _ = node.get(labels, token)
        assert "fwd=uri-miss" in shown["cache-status"]
        assert not peers(node) & {pull.ready["peer_id"], again.ready["peer_id"]}


def test_what_main_drops_a_pull_request_no_longer_serves(admitted: Start, github: GitHub) -> None:
    main, pull = admitted("main", "ghs_one"), admitted("pull", "ghs_pull", event="pull_request")
    target = f"/repos/{APP}/labels?per_page=11"
    main.get(target, "ghs_one")
    announced(pull)
    main.control("purge", {"url": target})
    pull.until(lambda _: not sum(row["announced"] for row in pull.control("peers")), "the drop")


def test_what_the_hub_is_told_to_forget_no_job_serves(admitted: Start, hub: Node, github: GitHub) -> None:
    """By a purge, or by a webhook, which takes the same way."""
    main = admitted("main", "ghs_one")
    target = f"/repos/{APP}/labels?per_page=13"
    main.get(target, "ghs_one")
    assert "hit" in main.get(target, "ghs_one")[1]["cache-status"]
    hub.control("purge", {"all": True})
    main.until(lambda stats: stats["store"]["memory_entries"] == 0, "the drop")
    assert "fwd=" in main.get(target, "ghs_one")[1]["cache-status"]


@pytest.mark.parametrize(
    ("claims", "job_log", "hub_log"),
    [
        (
            {"repository_id": "3003"},
            "this repository is not on its list",
            "repository 3003 of owner 77 is not on the list",
        ),
        ({"aud": "p2pcache:another:one"}, "does not accept this job's OIDC token", "it was made for another hub"),
    ],
    ids=["not listed", "a token for another hub"],
)
def test_a_job_that_is_refused_works_alone_and_both_sides_say_why(
    start: Start, hub: Node, claims: dict[str, str], job_log: str, hub_log: str
) -> None:
    given = dict(claims)
    node = start("job", "ghs_one", given.pop("repository_id", APP_ID), **given)
    assert node.ready["p2p"].startswith("failed: no CACHE_SECRET, and this job's OIDC token opened no hub: ")
    assert job_log in node.ready["p2p"]
    node.until(lambda _: job_log in node.log.read_text(), "the job's sentence")
    assert node.get(f"/repos/{APP}/labels", "ghs_one")[0] == 200
    hub.until(lambda _: hub_log in hub.log.read_text(), "the hub's sentence")


def test_a_node_for_one_command_is_admitted_too(hub: Node, oidc: Issuer, github: GitHub, tmp_path: Path) -> None:
    said = {**job("ghs_one", APP), **oidc.job(), "CACHE_UPSTREAM": github.url, "PYTHONPATH": str(ROOT)}
    home = environment(tmp_path, **said, CACHE_BOOTSTRAP_PEERS=hub.ready["multiaddrs"][0])
    program = [sys.executable, "-m", "p2pcache"]
    command = [*program, "run", "--", *program, "stats", "--json"]
    done = subprocess.run(command, env=home, check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["peers"]["connected"] == 1


def test_the_action_needs_no_secret_where_the_job_has_an_id_token(
    hub: Node, oidc: Issuer, github: GitHub, tmp_path: Path
) -> None:
    files = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.touch()
    said = {
        **job("ghs_one", APP),
        **oidc.job(),
        **{name: str(file) for name, file in files.items()},
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "INPUT_UPSTREAM": github.url,
        "INPUT_BOOTSTRAP_PEERS": hub.ready["multiaddrs"][0],
    }

    def step(name: str) -> str:
        command = [sys.executable, "-m", "p2pcache.runner.main", name]
        home = environment(tmp_path, **said, PYTHONPATH=str(ROOT))
        return subprocess.run(command, env=home, check=True, capture_output=True, text=True, timeout=60).stdout

    try:
        assert "::warning::" not in step("start")
        assert command_files.values(files["GITHUB_OUTPUT"])["p2p-connected"] == "true"
        hub.until(lambda _: {row["repository"] for row in hub.control("peers")} == {APP_ID}, "the job at the hub")
    finally:
        step("finish")
