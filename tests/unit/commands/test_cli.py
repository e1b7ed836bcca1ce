"""The commands as a shell sees them: what is printed where, and the exit status."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from click.testing import CliRunner

from p2pcache import __version__
from p2pcache.cache.sealing import generate_secret
from p2pcache.cli import _flags, main, node_options
from tests.support.processes import ended

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
    "keygen": ["surplus"],
    "demo": ["--requests", "0"],
    "rule-check": ["surplus"],
}
"""What each command cannot use; one that is not here has not been thought of."""


def p2pcache(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **variables}
    command = [sys.executable, "-m", "p2pcache", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=50)


def inside(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As `p2pcache`, but in this process: for what ends before a node would start."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **variables}
    with mock.patch.dict(os.environ, environ, clear=True):
        said = CliRunner().invoke(main, arguments, prog_name="p2pcache")
    return subprocess.CompletedProcess(arguments, said.exit_code, said.stdout, said.stderr)


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


MISSPELT = {"CACHE_BOOTSTRAP_PEER": "/ip4/127.0.0.1/tcp/9", "CACHE_VERSION": "5ecre7"}
NAMED = "p2pcache: ignored, no such setting: CACHE_BOOTSTRAP_PEER (did you mean CACHE_BOOTSTRAP_PEERS?), CACHE_VERSION"


def test_a_variable_that_nothing_reads_is_one_line_and_no_error(tmp_path: Path) -> None:
    ended = p2pcache(tmp_path, "run", "--no-p2p", "--", "true", **MISSPELT)
    assert ended.returncode == 0
    assert ended.stderr.splitlines().count(NAMED) == 1
    assert "5ecre7" not in ended.stderr


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


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["no-such-command-anywhere"], 127),
    ],
)
def test_run_ends_as_its_command_does(tmp_path: Path, command: list[str], status: int) -> None:
    ended = p2pcache(tmp_path, "run", "--no-p2p", "--", *command)
    assert ended.returncode == status
    assert "Traceback" not in ended.stderr


@pytest.fixture
def wrapped(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Start ``run`` around a shell script, once that has said its first line; gives the process and that line."""

    def start(script: str, *before: str) -> tuple[subprocess.Popen[str], str]:
        command = [*before, sys.executable, "-m", "p2pcache", "run", "--no-p2p", "--", "sh", "-c", script]
        process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        ends.enter_context(ended(process))
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    with contextlib.ExitStack() as ends:
        yield start


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_run_whose_terminal_is_closed_leaves_nothing_behind(
    wrapped: Callable[..., tuple[subprocess.Popen[str], str]], number: signal.Signals
) -> None:
    process, line = wrapped('echo "$$ $P2PCACHE_SOCKET"; exec sleep 300')
    pid, path = line.split()
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "no API calls went through the cache" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert not Path(path).parent.exists()


def test_run_that_is_ended_before_its_command_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    # Not below `tmp_path`: a socket's path has 107 bytes.
    with tempfile.TemporaryDirectory() as scratch:
        process = subprocess.Popen(
            [sys.executable, "-m", "p2pcache", "run", "--no-p2p", "--", "sleep", "300"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": scratch},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with ended(process):
            while not list(Path(scratch).glob("*/node.sock")):
                assert process.poll() is None
            process.terminate()
            said = process.communicate(timeout=30)[1]  # the command would keep these pipes open
        assert process.returncode == 128 + signal.SIGTERM
        assert "Traceback" not in said
        assert not list(Path(scratch).iterdir())


def test_run_under_nohup_goes_on(wrapped: Callable[..., tuple[subprocess.Popen[str], str]]) -> None:
    process, _ = wrapped("echo ready; read line; exit 5", "sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    process.send_signal(signal.SIGHUP)
    process.communicate("go\n", timeout=30)
    assert process.returncode == 5


def test_run_says_when_a_command_cannot_be_executed(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    ended = p2pcache(tmp_path, "run", "--no-p2p", "--", str(broken))
    assert ended.returncode == 126
    assert "No such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_run_leads_its_command_to_the_node_and_leaves_its_flags_alone(tmp_path: Path) -> None:
    script = 'echo "$GITHUB_API_URL" "$@"; test -S "$P2PCACHE_SOCKET" && test -f "$GH_CONFIG_DIR/config.yml"'
    ended = p2pcache(tmp_path, "run", "--no-p2p", "sh", "-c", script, "sh", "--hub", "--dir", "x")
    assert ended.returncode == 0, ended.stderr
    url, *rest = ended.stdout.split()
    assert url.startswith("http://127.0.0.1:")
    assert rest == ["--hub", "--dir", "x"]
    assert "no API calls went through the cache" in ended.stderr


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``serve --hub``; gives its process. What is still there at the end is stopped."""
    started = []

    def start(*flags: str, **variables: str) -> subprocess.Popen[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "p2pcache", "serve", "--hub", *flags],
                env={**environ, **variables},
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)


def ready(path: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a node's ready file says once it is there."""
    end = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    said: dict[str, Any] = json.loads(path.read_text())
    return said


def test_a_hub_as_the_readme_starts_it_is_one(hub: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Without a secret it makes one, and says how to hand it out; a job that has it can join."""
    where = ("--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--ready-file", str(tmp_path / "ready"))
    process = hub(*where)
    assert ready(tmp_path / "ready", process)["p2p"] == "ready", "a hub is ready when it is one"
    secret = tmp_path / "cache/p2pcache/secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    address = json.loads((tmp_path / "ready").read_text())["multiaddrs"][0]
    script = 'exec "$0" -m p2pcache peers --json'
    variables = {"CACHE_SECRET": secret.read_text(), "GITHUB_TOKEN": "ghs_job"}
    ended = p2pcache(tmp_path, "run", "--bootstrap", address, "sh", "-c", script, sys.executable, **variables)
    assert [row["state"] for row in json.loads(ended.stdout)] == ["hub"], ended.stderr
    process.terminate()
    said = process.communicate(timeout=20)[1]
    assert f"hand it to the jobs with: gh secret set CACHE_SECRET <{secret}" in said
    assert secret.read_text().strip() not in said


@pytest.mark.parametrize(
    ("flags", "variables", "says"),
    [
        (["--no-p2p"], {}, "--hub: peer to peer is off (--no-p2p or CACHE_ENABLE_P2P)"),
        (["--share", "off"], {}, "--hub: sharing is off"),
        (["--backends", "disk"], {}, "--hub: peers are not among the backends"),
        (["--dir", "/dev/null/x"], {}, "/dev/null/x/secret: this hub's secret cannot be kept there"),
        ([], {"CACHE_SECRET": "weak"}, "CACHE_SECRET: "),
    ],
)
@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_hub_that_cannot_be_one_is_one_line_and_exit_2(
    tmp_path: Path, command: str, flags: list[str], variables: dict[str, str], says: str
) -> None:
    ended = p2pcache(tmp_path, command, "--hub", *flags, **variables)
    assert ended.returncode == 2
    assert ended.stdout == ""
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"p2pcache: {says}"), ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_hub_whose_port_is_taken_is_one_line_and_exit_2(hub: Callable[..., subprocess.Popen[str]]) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = hub(CACHE_SECRET=generate_secret(), CACHE_LISTEN_PORT=port)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 2
    assert f"p2pcache: the swarm cannot listen on /ip4/0.0.0.0/tcp/{port} (Address already in use): stop" in said
    assert "Traceback" not in said
    assert "works alone" not in said


def test_a_hub_that_does_not_start_does_not_hand_out_its_secret(hub: Callable[..., subprocess.Popen[str]]) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        said = hub(CACHE_LISTEN_PORT=str(taken.getsockname()[1])).communicate(timeout=30)[1]
    assert "cannot listen" in said
    assert "hand it to the jobs" not in said


@pytest.fixture
def foreground(hub: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> dict[str, Any]:
    """A ``serve --hub`` that is ready, in the default directory; gives its ready file's content."""
    flags = ("--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--upstream", "http://127.0.0.1:1")
    return ready(tmp_path / "ready", hub(*flags, "--ready-file", str(tmp_path / "ready")))


def test_up_says_that_the_hub_refused_it(foreground: dict[str, Any], tmp_path: Path) -> None:
    flags = ("--bootstrap", foreground["multiaddrs"][0], "--p2p-listen", "/ip4/127.0.0.1/tcp/0")
    said = p2pcache(tmp_path, "up", *flags, CACHE_SECRET=generate_secret())
    p2pcache(tmp_path, "down")
    assert said.returncode == 0
    assert "p2pcache: not in the swarm: the swarm secrets differ" in said.stderr


def test_up_says_that_the_hub_cannot_be_reached(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"/ip4/127.0.0.1/tcp/{unused.getsockname()[1]}"
        flags = ("--bootstrap", address, "--p2p-listen", "/ip4/127.0.0.1/tcp/0")
        said = p2pcache(tmp_path, "up", *flags, CACHE_SECRET=generate_secret())
        p2pcache(tmp_path, "down")
    assert said.returncode == 0
    assert "p2pcache: not in the swarm: " in said.stderr
    assert address in said.stderr


def test_each_node_of_a_directory_keeps_its_own_control_token(foreground: dict[str, Any], tmp_path: Path) -> None:
    of_hub = tmp_path / "cache/p2pcache/control-token"
    token = of_hub.read_text()
    p2pcache(tmp_path, "up", "--no-p2p")
    of_up = tmp_path / "cache/p2pcache/run/node.sock.control-token"
    try:
        assert of_hub.read_text() == token != of_up.read_text()
    finally:
        p2pcache(tmp_path, "down")
    assert p2pcache(tmp_path, "run", "--no-p2p", "true").returncode == 0
    assert not of_up.exists()
    assert of_hub.read_text() == token


def test_a_node_in_the_foreground_is_not_denied(foreground: dict[str, Any], tmp_path: Path) -> None:
    for command, status in (("env", 1), ("down", 0)):
        ended = inside(tmp_path, command)
        assert (ended.returncode, ended.stdout) == (status, "")
        assert ended.stderr == "p2pcache: a node runs here in the foreground (p2pcache serve): end it there\n"


def test_a_directory_names_the_node_that_is_asked(foreground: dict[str, Any], tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "cache/p2pcache"))
    for command in (["stats", "--json"], ["peers", "--json"], ["get", "/-/healthz"]):
        ended = inside(tmp_path, *command, *where, XDG_CACHE_HOME=str(tmp_path / "other"))
        assert ended.returncode in (0, 1), ended.stderr
        assert "no node runs here" not in ended.stderr
        nowhere = inside(tmp_path, *command, "--dir", str(tmp_path / "other"), P2PCACHE_SOCKET=foreground["socket"])
        assert "no node runs here" in nowhere.stderr


def test_a_full_disk_is_one_true_sentence(foreground: dict[str, Any], tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for command in (["stats"], ["stats", "--json"], ["peers"], ["get", "/nothing"]):
        with Path("/dev/full").open("w") as full:
            program = [sys.executable, "-m", "p2pcache", *command]
            ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, env=environ, timeout=50)
        assert ended.stderr == "p2pcache: stdout cannot be written: No space left on device\n", command
        assert ended.returncode == 1


def test_a_second_hub_of_one_directory_is_told(hub: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    flags = ("--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--ready-file", str(tmp_path / "ready"))
    first = hub(*flags, "--socket", str(tmp_path / "s"))
    ready(tmp_path / "ready", first)
    second = hub(*flags[:2])
    said = second.communicate(timeout=30)[1]
    assert second.returncode == 2
    assert "another hub runs with" in said
    assert first.poll() is None


def test_a_hubs_log_names_the_variables_that_nothing_reads(
    hub: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    ready(
        tmp_path / "ready",
        process := hub("--ready-file", str(tmp_path / "ready"), "--p2p-listen", "/ip4/127.0.0.1/tcp/0", **MISSPELT),
    )
    process.terminate()
    said = process.communicate(timeout=20)[1]
    (line,) = [line for line in said.splitlines() if "CACHE_VERSION" in line]
    assert line.endswith(f" WARNING {NAMED}")
