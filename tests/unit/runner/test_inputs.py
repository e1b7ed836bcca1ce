from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache.runner import inputs
from p2pcache.runner.bootstrap import Target
from p2pcache.runner.inputs import InputError, Inputs
from p2pcache.runner.network import Mode
from p2pcache.settings import SettingsError, Share

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Inputs]:
    def set_and_read(environ: dict[str, str] | None = None, **values: str) -> Inputs:
        for name, value in values.items():
            monkeypatch.setenv(f"INPUT_{name.upper()}", value)
        return inputs.read(environ or {})

    return set_and_read


def test_nothing_given_is_a_working_node(given: Callable[..., Inputs]) -> None:
    read = given()
    assert (read.mode, read.gateway_port, read.persist, read.gh, read.report, read.strict) == (
        None,
        0,
        False,
        True,
        True,
        False,
    )
    assert read.targets == (Target(),), "a hub on the host is looked for"
    assert "CACHE_DISK_BYTES" not in read.variables


def test_inputs_become_the_nodes_variables(given: Callable[..., Inputs]) -> None:
    read = given(
        token="ghs_t", secret=SECRET, share="verified", upstream="https://ghes.example/api/v3", listen_port="9001"
    )
    assert read.settings.share is Share.VERIFIED
    assert read.settings.p2p_port == 9001
    assert read.settings.upstream == "https://ghes.example/api/v3"
    assert read.variables["CACHE_SECRET"] == SECRET
    assert read.variables["GITHUB_TOKEN"] == "ghs_t"


def test_the_runners_token_is_told_apart_from_the_one_that_is_given(
    given: Callable[..., Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INPUT_TOKEN", "ghp_given")
    for name in ("INPUT_JOB_TOKEN", "INPUT_JOB-TOKEN"):  # composite, Docker
        monkeypatch.setenv(name, "ghs_runner")
        read = given({"GITHUB_ACTIONS": "true"})
        assert read.settings.token
        assert read.settings.job_token
        assert (read.settings.token.reveal(), read.settings.job_token.reveal()) == ("ghp_given", "ghs_runner")
        monkeypatch.delenv(name)
    assert given({}).settings.job_token is None


@pytest.mark.parametrize(
    ("file", "line"),
    [("action.yml", "INPUT_JOB_TOKEN: ${{ github.token }}"), ("docker/action.yml", "default: ${{ github.token }}")],
)
def test_the_action_hands_over_the_runners_token_whatever_the_input_says(file: str, line: str) -> None:
    text = (Path(inputs.__file__).parents[2] / file).read_text()
    assert line in text.split("job-token:" if "docker" in file else "env:")[1][:300]


def test_a_docker_actions_names_have_hyphens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPUT_GATEWAY-PORT", "8080")
    assert inputs.read({}).gateway_port == 8080


def test_an_input_beats_the_jobs_variable_which_counts_too(given: Callable[..., Inputs]) -> None:
    assert given({"CACHE_SHARE": "off"}).settings.share is Share.OFF
    assert given({"CACHE_SHARE": "off"}, share="scope").settings.share is Share.SCOPE


@pytest.mark.parametrize("variable", ["CACHE_BOOTSTRAP_PEERS", "CACHE_P2P_BOOTSTRAP", "MCP_P2P_BOOTSTRAP_PEERS"])
def test_bootstrap_peers_from_the_job(given: Callable[..., Inputs], variable: str) -> None:
    read = given({variable: "/ip4/10.0.0.1/tcp/1\n/tcp/2"})
    assert read.targets == (Target("10.0.0.1", 1, "", "ip4", named=True), Target(port=2, named=True))
    assert variable not in read.variables, "the node is told resolved addresses only"


def test_no_peer_to_peer_no_hub(given: Callable[..., Inputs]) -> None:
    assert given(enable_p2p="false").targets == ()


def test_a_persisted_store_is_bounded(given: Callable[..., Inputs]) -> None:
    assert given(persist="true").settings.options["disk_bytes"] == inputs.PERSISTED_BYTES
    assert given({"CACHE_DISK_BYTES": "2000000"}, persist="true").settings.options["disk_bytes"] == 2_000_000


GITHUB = {"GITHUB_SERVER_URL": "https://github.com", "CACHE_SECRET": SECRET}


@pytest.mark.parametrize(
    ("named", "chosen"),
    [
        ({}, ("disk", "p2p", "actions")),
        ({"CACHE_BACKENDS": "disk"}, ("disk", "actions")),
        ({"CACHE_BACKEND": "actions, p2p"}, ("actions", "p2p")),
    ],
)
def test_where_the_actions_cache_is_persist_is_a_backend(
    given: Callable[..., Inputs], named: dict[str, str], chosen: tuple[str, ...]
) -> None:
    read = given({**GITHUB, **named}, persist="true")
    assert read.settings.backends == chosen
    assert "CACHE_DISK_BYTES" not in read.variables, "the store is no longer what is kept"
    assert given({**GITHUB, **named}, persist="false").settings.backends == tuple(
        named.get("CACHE_BACKENDS", named.get("CACHE_BACKEND", "disk,p2p")).replace(",", " ").split()
    )


@pytest.mark.parametrize(
    ("environ", "there"),
    [
        ({"GITHUB_SERVER_URL": "https://github.com"}, True),
        ({"GITHUB_SERVER_URL": "https://octo.ghe.com"}, True),
        ({"GITHUB_SERVER_URL": "https://octo.ghe.com.example"}, False),
        ({"GITHUB_SERVER_URL": "https://ghes.example"}, False),
        ({"GITHUB_SERVER_URL": "https://github.com", "ACT": "true"}, False),
        ({}, False),
    ],
)
def test_an_enterprise_server_and_act_keep_the_store_instead(
    given: Callable[..., Inputs], environ: dict[str, str], there: bool
) -> None:
    assert inputs.has_cache_service(environ) is there
    read = given({**GITHUB, "GITHUB_SERVER_URL": "", **environ}, persist="true")
    assert ("actions" in read.settings.backends) is there
    assert ("CACHE_DISK_BYTES" in read.variables) is not there


def test_without_a_secret_nothing_is_left_for_others(given: Callable[..., Inputs]) -> None:
    assert "actions" not in given({**GITHUB, "CACHE_SECRET": ""}, persist="true").settings.backends


def test_a_repository_name_that_is_none_is_the_runners_doing(given: Callable[..., Inputs]) -> None:
    assert given({"GITHUB_REPOSITORY": "/some/where"}).settings.repository == ""
    assert given({"GITHUB_REPOSITORY": "octo/app"}).settings.repository == "octo/app"


def test_a_mode_that_is_insisted_on(given: Callable[..., Inputs]) -> None:
    assert given(mode="Bridge").mode is Mode.BRIDGE


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mode", "docker", "expected auto or one of none, host, bridge, custom, container, not-docker"),
        ("gateway_port", "70000", "expected a port from 0"),
        ("gateway_port", "http", "expected a port from 0"),
        ("strict", "yes", "input strict: read 'yes': expected true or false"),
        ("bootstrap_peers", "hub:9100", "input bootstrap-peers: .*expected a multiaddr"),
    ],
)
def test_an_input_that_cannot_be_used(given: Callable[..., Inputs], name: str, value: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        given(**{name: value})


def test_a_setting_that_cannot_be_used(given: Callable[..., Inputs]) -> None:
    with pytest.raises(SettingsError, match="CACHE_SHARE"):
        given(share="everything")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "input secret has to be the same; CACHE_SECRETS is no name"),
        ({"CACHE_SECRET": ""}, "input secret has to be the same; CACHE_SECRETS is no name"),
        ({"CACHE_SECRET": "x"}, "CACHE_SECRET has to be the same; CACHE_SECRETS is no name"),
    ],
    ids=["not set", "empty", "the job's own"],
)
def test_what_the_node_says_names_what_the_reader_can_set(environ: dict[str, str], said: str) -> None:
    assert inputs.with_input_names("CACHE_SECRET has to be the same; CACHE_SECRETS is no name", environ) == said


def test_the_gateways_port_is_an_input_and_a_hubs_flag_is_its_own() -> None:
    said = "--listen 127.0.0.1:80: Permission denied; start the hub with --p2p-listen /ip4/0.0.0.0/tcp/9100"
    assert inputs.with_input_names(said, {}) == said.replace("--listen", "input gateway-port", 1)


def test_an_input_that_is_given_is_named_whatever_the_job_has_set(given: Callable[..., Inputs]) -> None:
    given(secret=SECRET)
    assert inputs.with_input_names("CACHE_SECRET: weak", {"CACHE_SECRET": SECRET}) == "input secret: weak"
