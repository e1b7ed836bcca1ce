from __future__ import annotations

from pathlib import Path

import pytest

from p2pcache.exports import NODE_EXPORTS
from p2pcache.runner.job import Job, exported, node_outputs, with_socket, write_gh_config


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("", 'version: "1"\nhttp_unix_socket: "/s"\n', id="none"),
        pytest.param(
            "version: 1\ngit_protocol: ssh\naliases:\n  co: pr checkout",
            'version: 1\ngit_protocol: ssh\naliases:\n  co: pr checkout\nhttp_unix_socket: "/s"\n',
            id="kept",
        ),
        pytest.param(
            'version: "1"\nhttp_unix_socket: /old\nbrowser:\n',
            'version: "1"\nbrowser:\nhttp_unix_socket: "/s"\n',
            id="replaced",
        ),
    ],
)
def test_gh_config(before: str, after: str) -> None:
    assert with_socket(before, "/s") == after


def test_a_path_is_quoted_for_yaml() -> None:
    assert with_socket("", '/a "b"/s').endswith('http_unix_socket: "/a \\"b\\"/s"\n')


def test_logins_stay_where_they_are(tmp_path: Path) -> None:
    before = tmp_path / "home/.config/gh"
    before.mkdir(parents=True)
    (before / "hosts.yml").write_text("github.com:\n  oauth_token: x\n")
    (before / "hosts.yml").chmod(0o600)
    (before / "config.yml").write_text("version: 1\neditor: vi\n")
    job = Job.from_env({"RUNNER_TEMP": str(tmp_path / "temp")})
    config = write_gh_config(job, "/s", {"HOME": str(tmp_path / "home")})
    assert config == tmp_path / "temp/p2pcache/gh/config.yml"
    assert "editor: vi" in config.read_text()
    linked = job.gh / "hosts.yml"
    assert linked.readlink() == before / "hosts.yml", "no copy of a token"
    write_gh_config(job, "/s", {"GH_CONFIG_DIR": str(job.gh)})
    assert linked.readlink() == before / "hosts.yml", "a second use has it from the first"
    for file in job.gh_files:
        file.unlink()
    assert list(job.gh.iterdir()) == []
    assert "oauth_token" in (before / "hosts.yml").read_text()


def test_a_login_that_is_yet_to_come_goes_where_it_would_go_without_the_cache(tmp_path: Path) -> None:
    before = tmp_path / "gh"
    before.mkdir()
    job = Job(tmp_path / "job")
    write_gh_config(job, "/s", {"GH_CONFIG_DIR": str(before)})
    (job.gh / "hosts.yml").write_text("github.com:\n")
    assert (before / "hosts.yml").read_text() == "github.com:\n"


def test_a_copy_that_an_older_version_left_gives_way(tmp_path: Path) -> None:
    before, job = tmp_path / "gh", Job(tmp_path / "job")
    before.mkdir()
    job.gh.mkdir(parents=True)
    (job.gh / "hosts.yml").write_text("old")
    write_gh_config(job, "/s", {"GH_CONFIG_DIR": str(before)})
    assert (job.gh / "hosts.yml").is_symlink()


@pytest.mark.parametrize("variable", ["GH_CONFIG_DIR", "XDG_CONFIG_HOME"])
def test_where_gh_was_configured(variable: str, tmp_path: Path) -> None:
    folder = tmp_path / "gh"
    folder.mkdir()
    (folder / "config.yml").write_bytes(b"version: 1\npager: less\n")
    named = folder if variable == "GH_CONFIG_DIR" else tmp_path
    config = write_gh_config(Job(tmp_path / "job"), "/s", {variable: str(named)})
    assert "pager: less" in config.read_text()


def test_a_configuration_that_is_no_text_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"\xff\xfe")
    config = write_gh_config(Job(tmp_path / "job"), "/s", {"GH_CONFIG_DIR": str(tmp_path)})
    assert config.read_text() == with_socket("", "/s")


def test_the_socket_is_where_every_container_of_the_job_sees_it(tmp_path: Path) -> None:
    job = Job.from_env({"RUNNER_TEMP": str(tmp_path)})
    assert job.socket == tmp_path / "p2pcache/node.sock"
    deep = Job.from_env({"RUNNER_TEMP": str(tmp_path / ("x" * 100))})
    assert len(bytes(deep.socket)) <= 107
    assert deep.socket != Job.from_env({"RUNNER_TEMP": str(tmp_path / ("y" * 100))}).socket


def test_what_is_remembered(tmp_path: Path) -> None:
    job = Job(tmp_path)
    assert job.recall() == {}
    job.remember({"a": 1})
    assert Job(tmp_path).recall() == {"a": 1}
    (tmp_path / "job.json").write_text("{half")
    assert job.recall() == {}


def test_what_a_node_has_not_is_an_empty_output_and_no_variable() -> None:
    ready = {"api_url": "http://g", "graphql_url": "http://g/graphql", "socket": "/s"}
    outputs = node_outputs({**ready, "peer_id": "", "multiaddrs": []})
    assert outputs == node_outputs(ready)
    assert (outputs["peer-id"], outputs["multiaddr"]) == ("", "")
    assert set(exported(outputs)) == {"P2PCACHE_API_URL", "P2PCACHE_GRAPHQL_URL", "P2PCACHE_SOCKET"}


def test_every_exported_output_of_a_node_is_made_from_its_ready_file() -> None:
    ready = {"api_url": "a", "graphql_url": "g", "socket": "s", "peer_id": "p", "multiaddrs": ["m", "n"]}
    assert exported(node_outputs(ready)) == dict(zip(NODE_EXPORTS.values(), "agspm", strict=True))
