"""A node behind a shell: what ``up``, ``env`` and ``down`` print for ``eval``, and what is said without one."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import environment

LOCAL = "--no-p2p"
SEEN = "P2PCACHE_API_URL P2PCACHE_SOCKET P2PCACHE_PEER_ID P2PCACHE_MULTIADDR GITHUB_API_URL GH_CONFIG_DIR"
SHOW = f'for name in {SEEN}; do eval "echo $name=\\${{$name-unset}}"; done'


class Shell:
    """A shell of a user whose node is below `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *lines: str, **variables: str) -> subprocess.CompletedProcess[str]:
        script = "\n".join([f'p2pcache() {{ {shlex.quote(sys.executable)} -m p2pcache "$@"; }}', *lines])
        return subprocess.run(
            ["sh", "-c", script],
            env=environment(self.home, **variables),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def variables(self, *lines: str, **variables: str) -> dict[str, str]:
        """The variables of interest after `lines`, in a shell where each line has to succeed."""
        done = self("set -e", *lines, SHOW, **variables)
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    @staticmethod
    def of(seen: dict[str, str]) -> dict[str, str]:
        """The variables of a shell that saw these."""
        return {name: value for name, value in seen.items() if value != "unset"}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell("p2pcache down")


def up(*flags: str) -> str:
    return f'eval "$(p2pcache up {shlex.join(flags)})"'


def test_up_in_a_second_shell_and_env_print_the_running_nodes_exports(shell: Shell) -> None:
    first = shell.variables(up(LOCAL))
    assert first["P2PCACHE_API_URL"].startswith("http://127.0.0.1:")
    assert shell.variables(up(LOCAL)) == first
    assert shell.variables('eval "$(p2pcache env)"') == first
    assert shell.variables(up(LOCAL), up(LOCAL), 'eval "$(p2pcache env)"') == first


def test_flags_that_come_too_late_are_not_obeyed_in_silence(shell: Shell) -> None:
    shell.variables(up(LOCAL))
    said = shell("p2pcache up --no-p2p --share off")
    assert said.returncode == 0
    assert "runs already" in said.stderr
    assert "p2pcache down" in said.stderr


def test_two_shells_that_start_together_share_one_node(shell: Shell) -> None:
    both = shell(*(f"p2pcache up {LOCAL} >{shell.home}/{name} &" for name in "ab"), "wait")
    first, second = ((shell.home / name).read_text() for name in "ab")
    assert first == second != "", both.stderr


def test_env_without_a_node_says_how_to_start_one(shell: Shell) -> None:
    said = shell("p2pcache env")
    assert (said.returncode, said.stdout) == (1, "")
    assert "no node runs" in said.stderr
    assert "p2pcache up" in said.stderr


def test_after_down_the_shell_is_as_it_was(shell: Shell) -> None:
    before = {"GH_CONFIG_DIR": str(shell.home / "my gh"), "GITHUB_API_URL": "https://api.github.com"}
    untouched = shell.variables(**before)
    assert shell.variables(up(LOCAL), up(LOCAL), 'eval "$(p2pcache down)"', **before) == untouched
    assert shell.variables(up(LOCAL), 'eval "$(p2pcache down)"') == dict.fromkeys(untouched, "unset")


def test_down_unsets_what_is_left_of_a_node_that_is_gone(shell: Shell) -> None:
    left = shell.variables(up(LOCAL), "p2pcache down >/dev/null")
    assert left["P2PCACHE_SOCKET"] != "unset"
    after = shell.variables('eval "$(p2pcache down)"', **shell.of(left))
    assert set(after.values()) == {"unset"}


def test_down_leaves_the_variables_of_another_node_that_answers(shell: Shell) -> None:
    other = shell.home / "other"
    mine = shell.variables(up(LOCAL, "--dir", str(other)))
    assert shell.variables('eval "$(p2pcache down)"', **shell.of(mine)) == mine
    assert set(shell.variables(f'eval "$(p2pcache down --dir {other})"', **shell.of(mine)).values()) == {"unset"}


def test_the_report_of_down_does_not_get_into_eval(shell: Shell) -> None:
    shell.variables(up(LOCAL))
    said = shell("p2pcache down")
    assert "no API calls went through the cache" in said.stderr
    assert all(line.startswith(("unset ", "export ")) for line in said.stdout.splitlines())


@pytest.mark.parametrize("command", ["get /zen", "stats", "peers"])
def test_a_shell_whose_node_is_gone_is_told_how_to_start_one(shell: Shell, command: str) -> None:
    left = shell.variables(up(LOCAL), "p2pcache down >/dev/null")
    said = shell(f"p2pcache {command}", **shell.of(left))
    assert said.returncode == 1
    assert said.stderr.startswith("p2pcache: no node runs here; start one with: ")


def test_a_shell_whose_node_was_replaced_finds_the_new_one(shell: Shell) -> None:
    left = shell.variables(up(LOCAL, "--socket", str(shell.home / "old")), "p2pcache down >/dev/null")
    shell.variables(up(LOCAL))
    assert shell("p2pcache stats --json", **shell.of(left)).returncode == 0


def test_peer_id_and_address_are_exported_filled_in(shell: Shell) -> None:
    secret = shell("p2pcache keygen").stdout.strip()
    seen = shell.variables(up("--p2p-listen", "/ip4/127.0.0.1/tcp/0"), CACHE_SECRET=secret)
    assert seen["P2PCACHE_MULTIADDR"].endswith(f"/p2p/{seen['P2PCACHE_PEER_ID']}")
    assert seen["P2PCACHE_PEER_ID"] not in ("", "unset")


@pytest.mark.parametrize("command", ['eval "$(p2pcache up --no-p2p)"; env', "p2pcache run --no-p2p -- env"])
def test_what_a_node_without_peers_has_not_got_is_not_exported(shell: Shell, command: str) -> None:
    names = {line.partition("=")[0] for line in shell(command).stdout.splitlines()}
    assert "P2PCACHE_API_URL" in names
    assert not names & {"P2PCACHE_PEER_ID", "P2PCACHE_MULTIADDR"}


def test_what_an_earlier_node_exported_does_not_stay(shell: Shell) -> None:
    assert shell.variables(up(LOCAL), P2PCACHE_PEER_ID="12D3old")["P2PCACHE_PEER_ID"] == "unset"


def test_ready_file(shell: Shell) -> None:
    named = shell.home / "deep/er/ready"
    seen = shell.variables(f"cd {shell.home}", up(LOCAL, "--ready-file", "deep/er/ready"))
    ready = json.loads(named.read_text())
    assert ready["api_url"] == seen["P2PCACHE_API_URL"]
    assert shell.variables('eval "$(p2pcache env)"') == seen
    shell("p2pcache down")
    assert not os.path.lexists(named)


def test_an_old_ready_file_is_not_taken_for_the_new_nodes(shell: Shell) -> None:
    named = shell.home / "ready"
    named.write_text('{"api_url": "http://127.0.0.1:1", "socket": "/none"}')
    seen = shell.variables(up(LOCAL, "--ready-file", str(named)))
    assert json.loads(named.read_text())["api_url"] == seen["P2PCACHE_API_URL"] != "http://127.0.0.1:1"


def test_without_a_token_the_way_to_one_is_hinted_at(shell: Shell) -> None:
    hint = "export GITHUB_TOKEN=$(gh auth token)"
    assert hint in shell(f"p2pcache up {LOCAL}").stderr
    assert hint not in shell(f"p2pcache up {LOCAL}", GITHUB_TOKEN="ghp_x").stderr


FILE, NOWHERE = "a-file", "/proc/no/where"


@pytest.mark.parametrize(
    ("command", "variables", "status"),
    [
        pytest.param("up --no-p2p --dir a-file/x", {}, 1, id="below a file"),
        pytest.param("up --no-p2p --dir /proc/no/where", {}, 1, id="in proc"),
        pytest.param("up --no-p2p --dir /sys/x", {}, 1, id="on what is read-only"),
        pytest.param("up --no-p2p", {"HOME": "/proc/no/where", "XDG_CACHE_HOME": ""}, 1, id="no home"),
        pytest.param("up --no-p2p --timeout -1", {}, 2, id="no time"),
        pytest.param("up --no-p2p --timeout 0.01", {}, 1, id="too little time"),
        pytest.param("up --no-p2p --ready-file /proc/no/where", {}, 1, id="a ready file in proc"),
        pytest.param("up --no-p2p --ready-file .", {}, 1, id="a ready file that is a directory"),
        pytest.param("serve --no-p2p --ready-file /proc/no/where", {}, 2, id="serve with such a ready file"),
        pytest.param("serve --no-p2p --dir a-file/x", {}, 1, id="serve below a file"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    shell: Shell, command: str, variables: dict[str, str], status: int
) -> None:
    (shell.home / "a-file").touch()
    said = shell(f"cd {shell.home}", f"p2pcache {command}", **variables)
    assert "Traceback" not in said.stderr
    assert "Unclosed" not in said.stderr
    assert (said.returncode, said.stdout) == (status, ""), said.stderr
    assert said.stderr.splitlines()[-1].startswith(("p2pcache: ", "Error: "))


def test_a_node_that_was_given_too_little_time_is_not_left_behind(shell: Shell) -> None:
    assert shell("p2pcache up --no-p2p --timeout 0.01").returncode == 1
    assert shell("p2pcache env").returncode == 1
    again = shell.variables(up(LOCAL))
    assert again["P2PCACHE_API_URL"] != "unset"
