"""The commands as a shell sees them: what is printed where, and the exit status."""

import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from p2pcache import __version__
from p2pcache.cli import _flags, main, node_options
from tests.support.commands import MISSPELT, NAMED, inside, p2pcache

SHOWN = {name: command for name, command in main.commands.items() if not command.hidden}
WRONG = {
    "serve": ["--share", "all"],
    "up": ["--listen", "x"],
    "run": ["--upstream", "x", "--", "true"],
    "env": ["surplus"],
    "down": ["surplus"],
    "get": ["/a b"],
    "stats": ["surplus"],
    "peers": ["surplus"],
    "mcp": ["--node", "nowhere"],
    "doctor": ["--only", "99"],
    "keygen": ["surplus"],
    "completion": ["tcsh"],
    "demo": ["--requests", "0"],
    "scenarios": ["--only", "nowhere"],
    "rule-check": ["surplus"],
}
"""What each command cannot use; one that is not here has not been thought of."""


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(flag: str) -> None:
    said = CliRunner().invoke(main, [flag])
    assert said.exit_code == 0
    for command in SHOWN:
        assert f"\n  {command} " in said.output


@pytest.mark.parametrize("command", main.commands)
def test_every_command_explains_itself(command: str) -> None:
    said = CliRunner().invoke(main, [command, "--help"])
    assert said.exit_code == 0
    assert said.output.startswith("Usage: main " + command)
    assert len(said.output.splitlines()[2]) > 20


@pytest.mark.parametrize("command", ["serve", "up"])
def test_flags_of_the_contract_exist(command: str) -> None:
    said = CliRunner().invoke(main, [command, "--help"]).output
    for flag in (
        *("--listen", "--socket", "--p2p-listen", "--bootstrap", "--announce", "--upstream", "--dir", "--backends"),
        *("--share", "--ready-file", "--hub", "--no-p2p", "--log-level"),
    ):
        assert flag in said
    assert "--socket-fd" not in said


@pytest.mark.parametrize("command", SHOWN.values(), ids=SHOWN)
def test_every_flag_explains_itself_and_says_its_default(command: click.Command) -> None:
    for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
        if option.hidden:
            continue
        assert option.help, option.name
        assert option.is_flag or option.show_default or "[default: " in option.help, option.name


def test_what_other_machines_may_ask_is_said() -> None:
    said = CliRunner().invoke(main, ["serve", "--help"]).output.partition("--gateway-host")[2].partition("--socket")[0]
    for endpoint in ("metrics", "healthz", "stats", "peers"):
        assert f"/-/{endpoint}" in said


def test_as_a_module_it_has_its_own_name(tmp_path: Path) -> None:
    assert p2pcache(tmp_path, "--help").stdout.startswith("Usage: p2pcache ")


def test_the_port_of_a_hub_is_said() -> None:
    said = CliRunner().invoke(main, ["serve", "--help"]).output
    assert "9100" in said.partition("--hub  ")[2]


def test_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_keygen_gives_a_new_secret_each_time() -> None:
    first, second = (CliRunner().invoke(main, ["keygen"]).output for _ in range(2))
    assert first != second
    assert len(first.split()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["fly"], id="no such command"),
        pytest.param(["run"], id="no command to run"),
        pytest.param(["run", "--wings", "true"], id="no such flag before a command"),
        pytest.param(["get"], id="no path"),
        pytest.param(["serve", "--gateway-host", "0.0.0.0"], id="open to other machines without a control token"),
        *(pytest.param([command, "--wings"], id=f"no such flag of {command}") for command in main.commands),
        *(
            pytest.param([command, *WRONG[command]], id=f"a value that is wrong for {command}")
            for command in main.commands
        ),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_2(tmp_path: Path, arguments: list[str]) -> None:
    ended = inside(tmp_path, *arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.strip()


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"CACHE_TTL": "soon"}, "CACHE_TTL"),
        ({"CACHE_SECRET": "weak"}, "CACHE_SECRET"),
        ({"CACHE_BOOTSTRAP_PEERS": "nowhere"}, "CACHE_BOOTSTRAP_PEERS"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_variable_that_cannot_be_used_is_named(
    tmp_path: Path, command: str, variables: dict[str, str], named: str
) -> None:
    ended = inside(tmp_path, command, **variables)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"p2pcache: {named}: ")
    assert len(ended.stderr.splitlines()) == 1
    assert "weak" not in ended.stderr.partition(": ")[2].partition(" is ")[0] or named != "CACHE_SECRET"


def test_a_flag_that_is_misspelt_is_named_with_the_right_one(tmp_path: Path) -> None:
    for written, right in (("--bootstrp", "--bootstrap"), ("--no-p2", "--no-p2p"), ("--uptream", "--upstream")):
        ended = inside(tmp_path, "serve", written, "x")
        assert ended.returncode == 2
        assert f"No such option '{written}'. Did you mean '{right}'?" in ended.stderr


def test_a_switch_says_what_it_is_for_and_nothing_when_it_is_not_given() -> None:
    given = []
    command = click.Command("x", callback=lambda **options: given.append(_flags(options)))
    node_options(command)
    CliRunner().invoke(command, [], catch_exceptions=False)
    both = ["--hub", "--no-p2p", "--bootstrap", "a", "--bootstrap", "b", "--dir", "d", "--share", ""]
    CliRunner().invoke(command, both, catch_exceptions=False)
    assert given == [{}, {"hub": "true", "p2p": "false", "bootstrap": "a,b", "directory": "d"}]


def test_a_variable_that_nothing_reads_is_one_line_and_no_error(tmp_path: Path) -> None:
    ended = p2pcache(tmp_path, "run", "--no-p2p", "--", "true", **MISSPELT)
    assert ended.returncode == 0
    assert ended.stderr.splitlines().count(NAMED) == 1
    assert "5ecre7" not in ended.stderr


def test_a_setting_of_a_store_that_is_not_used_is_one_line_and_no_error(tmp_path: Path) -> None:
    ended = p2pcache(tmp_path, "run", "--no-p2p", "--", "true", CACHE_S3_BUCKET="example")
    assert ended.returncode == 0
    line = "ignored, since the backend is not used: CACHE_S3_BUCKET (of s3): set CACHE_BACKENDS to disk,p2p,s3"
    assert ended.stderr.splitlines().count(f"p2pcache: {line}") == 1


def test_a_variable_that_nothing_reads_may_be_why_a_setting_is_missing(tmp_path: Path) -> None:
    ended = inside(tmp_path, "serve", "--gateway-host", "0.0.0.0", CACHE_CONTROL_TOKN="5ecre7")
    assert ended.returncode == 2
    first, second = ended.stderr.splitlines()
    assert first == "p2pcache: ignored, no such setting: CACHE_CONTROL_TOKN (did you mean CACHE_CONTROL_TOKEN?)"
    assert second.startswith("p2pcache: --gateway-host: ")


def test_a_node_in_the_background_says_once_which_variables_nothing_reads(tmp_path: Path) -> None:
    flags = ("--dir", str(tmp_path / "node"))
    try:
        first, again = (p2pcache(tmp_path, "up", "--no-p2p", *flags, **MISSPELT) for _ in range(2))
    finally:
        ended = p2pcache(tmp_path, "down", *flags, **MISSPELT)
    assert (first.returncode, again.returncode, ended.returncode) == (0, 0, 0)
    assert first.stderr.splitlines().count(NAMED) == 1
    assert "no such setting" not in again.stderr + ended.stderr
    (log,) = (tmp_path / "node").rglob("node.log")
    assert "no such setting" not in log.read_text()


def test_an_address_that_is_taken_is_exit_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = p2pcache(tmp_path, "serve", "--no-p2p", "--listen", where)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"p2pcache: --listen {where}: Address already in use; name another port")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["get", "/zen"], ["stats"], ["peers"]])
def test_without_a_node_it_is_said_how_to_start_one(tmp_path: Path, command: list[str]) -> None:
    ended = inside(tmp_path, *command)
    assert ended.returncode == 1
    assert "p2pcache up" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_down_without_a_node_is_no_error(tmp_path: Path) -> None:
    assert inside(tmp_path, "down").returncode == 0
