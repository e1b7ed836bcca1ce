"""`post/start.sh` as the runner sources it: the link to the nested actions, and the choice of an interpreter."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = "tools/Python/3.12.9/x64"
TOOLS = ("cat", "ln", "mkdir", "rm")
KNOWN_SHELLS = {"sh": ["/bin/sh"], "bash": ["/bin/bash"], "busybox": ["/bin/busybox", "sh"]}
SHELLS = {name: command for name, command in KNOWN_SHELLS.items() if Path(command[0]).exists()}


def uses(kind: str, output: str = "post") -> str:
    """The path that action.yml gives the runner for a nested action, where start.sh set `output` to `kind`."""
    text = (ROOT / "action.yml").read_text()
    found = re.findall(rf"outputs\.{output} == '{kind}'\n(?:\s+continue-on-error: .*\n)?\s+uses: (\./\S+)", text)
    assert len(found) == 1
    return str(found[0])


@dataclass
class Runner:
    """The folders of a runner, below `base`."""

    base: Path
    action: Path

    @property
    def workspace(self) -> Path:
        return self.base / "work/app/app"

    @property
    def tools(self) -> Path:
        return self.base / "bin"

    def start(self, shell: str = "sh", script: str = "start.sh", **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": str(self.tools), "HOME": str(self.base / "home"), "RUNNER_TOOL_CACHE": str(self.base / "tools"),
            "GITHUB_ACTION_PATH": str(self.action), "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(self.base / "out"), "GITHUB_ENV": str(self.base / "env"),
            "GITHUB_API_URL": "https://ghes.example/api/v3", **variables,
        }  # fmt: skip
        for name in ("out", "env"):
            (self.base / name).write_text("")
        return subprocess.run(
            [*SHELLS[shell], "-e", "-c", f'. "$GITHUB_ACTION_PATH/post/{script}"'],
            env=environ, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in (self.base / "out").read_text().splitlines())

    def python(self, where: str, version: str, *more: str) -> Path:
        """An interpreter that answers what it is asked as `version` would; `more`: statements it runs before."""
        path = self.base / where
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = tuple(map(int, version.split(".")))
        lines = [
            f"#!{sys.executable}",
            "import sys",
            f"if sys.argv[-1].endswith('entrypoint.py'): sys.exit(print({f'chosen {where}'!r}))",
            f"if {numbers < (3, 4)} and '-I' in sys.argv: sys.exit('Unknown option: -I')",
            f"sys.version_info = {numbers}",
            *more,
            "exec(sys.argv[-1])",
        ]
        path.write_text("\n".join(lines))
        path.chmod(0o755)
        return path


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., Runner]:
    """Lay out a runner's folders with the action checked out for OWNER/REPO@v1."""

    def lay_out(repository: str = "octo/cache") -> Runner:
        action = tmp_path / "work/_actions" / repository / "v1"
        for folder in ("post", "docker"):
            shutil.copytree(ROOT / folder, action / folder)
        (action / "entrypoint.py").touch()
        made = Runner(tmp_path, action)
        made.workspace.mkdir(parents=True)
        made.tools.mkdir()
        for tool in TOOLS:
            (made.tools / tool).symlink_to(shutil.which(tool) or tool)
        return made

    return lay_out


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "repository", ["p2pcache/p2pcache", "p2pcache/post", "octo/p2pcache", "octo/post", "post/post", "P2PCACHE/cache"]
)
def test_the_post_step_is_found_whoever_owns_the_action(
    runner: Callable[..., Runner], repository: str, shell: str
) -> None:
    there = runner(repository)
    neighbour = there.base / "work/_actions/p2pcache/other/v2/action.yml"
    neighbour.parent.mkdir(parents=True)
    neighbour.write_text("name: another action of an owner of this name\n")
    for _ in "a second use changes nothing":
        assert there.start(shell).returncode == 0
        assert there.outputs["post"] == "runner"
        # As the runner does: actions/runner, ActionManager.LoadAction joins workspace and path.
        found = (there.workspace / uses("runner") / "action.yml").resolve()
        assert found == there.action / "post/action.yml"
        assert (there.action / "entrypoint.py").exists()
        assert neighbour.exists()
    link = there.base / "work/_actions/.p2pcache"
    assert str(link.readlink()) == f"../_actions/{repository}/v1", "relative: the runner resolves it on the host"


def test_no_github_login_can_be_the_links_name() -> None:
    """A login is letters, digits and hyphens; an enterprise's has an underscore too."""
    name = uses("runner").split("/")[-2]
    assert uses("runner") == f"./../../_actions/{name}/post"
    assert not re.fullmatch(r"[A-Za-z0-9_-]+", name)


def test_under_act_the_link_is_in_the_workspace(runner: Callable[..., Runner]) -> None:
    there = runner()
    assert there.start(ACT="true").returncode == 0
    assert there.outputs["post"] == "act"
    assert (there.workspace / uses("act") / "action.yml").resolve() == there.action / "post/action.yml"


@pytest.mark.parametrize("act", ["true", ""])
@pytest.mark.parametrize("kind", ["folder", "file", "read-only"])
def test_what_is_no_link_stays_and_the_job_goes_on_without_the_post_step(
    runner: Callable[..., Runner], act: str, kind: str
) -> None:
    there = runner()
    there.python("bin/python3.12", "3.12.1")
    name = there.workspace / ".p2pcache" if act else there.base / "work/_actions/.p2pcache"
    if kind == "folder":
        name.mkdir()
        (name / "kept").write_text("precious")
    elif kind == "file":
        name.write_text("precious")
    else:
        (there.tools / "ln").unlink()
        (there.tools / "ln").symlink_to(shutil.which("false") or "/bin/false")
    done = there.start(ACT=act, INPUT_STRICT="true")
    assert done.returncode == 0, done.stderr
    assert f"::warning title=p2pcache::no report at the job's end: a link at {name} cannot be made" in done.stdout
    assert done.stdout.splitlines()[-1] == "chosen bin/python3.12"
    assert "post" not in there.outputs
    if kind == "folder":
        assert [(path.name, path.read_text()) for path in name.iterdir()] == [("kept", "precious")]
    elif kind == "file":
        assert name.read_text() == "precious"


def test_a_link_of_another_version_is_replaced(runner: Callable[..., Runner]) -> None:
    there = runner()
    link = there.base / "work/_actions/.p2pcache"
    (there.base / "elsewhere").mkdir()
    (there.base / "elsewhere/kept").touch()
    link.symlink_to("../../elsewhere")
    there.start()
    assert (link / "post/action.yml").samefile(there.action / "post/action.yml")
    assert [path.name for path in (there.base / "elsewhere").iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("there_are", "chosen"),
    [
        ({"bin/python3": "3.6.15", "bin/python": "2.7.18", "bin/python3.12": "3.12.1"}, "bin/python3.12"),
        ({"bin/python3": "2.7.18", "bin/python": "3.11.9"}, "bin/python"),
        ({"bin/python3": "3.13.1", "bin/python3.12": "3.12.1"}, "bin/python3"),
        ({"bin/python3": "3.15.0", "bin/python3.11": "3.11.2"}, "bin/python3.11"),
        ({"bin/python3": "3.11.2", "bin/python3.14": "3.14.0"}, "bin/python3.14"),
        ({"bin/python3": "3.8.1", f"{TOOL}/bin/python3": "3.12.9"}, f"{TOOL}/bin/python3"),
        ({"home/.pyenv/versions/3.11.7/bin/python3": "3.11.7"}, "home/.pyenv/versions/3.11.7/bin/python3"),
        (
            {"home/.local/share/uv/python/cpython-3.13.1-linux-x86_64-gnu/bin/python3": "3.13.1"},
            "home/.local/share/uv/python/cpython-3.13.1-linux-x86_64-gnu/bin/python3",
        ),
    ],
)  # fmt: skip
def test_the_newest_usable_python_is_chosen(
    runner: Callable[..., Runner], there_are: dict[str, str], chosen: str
) -> None:
    there = runner()
    for where, version in there_are.items():
        there.python(where, version)
    done = there.start()
    assert done.stdout == f"chosen {chosen}\n", done.stderr


def test_another_implementation_and_one_without_its_modules_are_passed_over(runner: Callable[..., Runner]) -> None:
    there = runner()
    there.python("bin/python3.13", "3.13.0", "sys.implementation.name = 'pypy'")
    there.python("bin/python3.12", "3.12.0", "sys.modules['ssl'] = None")
    there.python("bin/python3.11", "3.11.0")
    assert there.start().stdout == "chosen bin/python3.11\n"


FETCHED = "home/.local/share/uv/python/cpython-3.13.9-linux-x86_64-gnu/bin/python3"


def uv(there: Runner, fetches: str) -> Path:
    """A uv whose `python install` does what the shell line `fetches` says, and writes down where and how it was run."""
    calls = there.base / "uv.calls"
    program = there.tools / "uv"
    program.write_text(f'#!/bin/sh\necho "$PWD: $*" >>{calls}\n{fetches}\n')
    program.chmod(0o755)
    return calls


@pytest.mark.parametrize("shell", SHELLS)
def test_where_no_python_is_usable_uv_is_asked_for_one(runner: Callable[..., Runner], shell: str) -> None:
    there = runner()
    there.python("bin/python3", "3.8.1")
    ready = there.python("later", "3.13.9", f"if sys.argv[-1].endswith('.py'): sys.exit(print('chosen {FETCHED}'))")
    (there.base / FETCHED).parent.mkdir(parents=True)
    calls = uv(there, f"/bin/cp {ready} {there.base / FETCHED}")
    done = there.start(shell)
    assert done.stdout.splitlines()[-1].startswith("chosen "), done.stderr
    assert calls.read_text() == "/: python install --no-progress 3.13\n", "once, and not in the job's workspace"


def test_a_usable_python_is_taken_without_asking_uv(runner: Callable[..., Runner]) -> None:
    there = runner()
    there.python("bin/python3", "3.12.1")
    calls = uv(there, "exit 1")
    assert there.start().stdout == "chosen bin/python3\n"
    assert not calls.exists()


def test_a_uv_that_can_fetch_none_leaves_one_sentence(runner: Callable[..., Runner]) -> None:
    there = runner()
    uv(there, "echo '::error::no network' >&2; echo '::error::no network'; exit 2")
    done = there.start()
    assert done.returncode == 0
    (said,) = done.stdout.splitlines()
    assert "Python 3.11 to 3.14 is needed and none is here" in said
    assert done.stderr == ""


def test_on_windows_the_job_goes_on_past_the_cache_with_one_sentence(runner: Callable[..., Runner]) -> None:
    there = runner()
    there.python("bin/python3", "3.12.1")
    done = there.start(RUNNER_OS="Windows")
    assert done.returncode == 0
    assert done.stdout == (
        "::warning title=p2pcache::p2pcache runs on Linux and macOS, and this runner is a Windows machine. "
        "The job goes on without the cache.\n"
    )
    assert there.outputs["api-url"] == "https://ghes.example/api/v3"
    assert there.start(RUNNER_OS="Windows", INPUT_STRICT="true").returncode == 1


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("", "", "none"),
        ("python3", "3.6.15", "only Python 3.6.15"),
        ("python", "2.7.18", "only Python 2.7.18"),
        ("python3", "garbled", "none"),
    ],
)
def test_without_a_usable_python_the_job_goes_on_past_the_cache(
    runner: Callable[..., Runner], shell: str, name: str, version: str, found: str
) -> None:
    there = runner()
    if version == "garbled":
        there.python(f"bin/{name}", "3.6.15", "sys.exit('(3, ' in sys.argv[-1] or print('3::set-env\\n::error::x'))")
    elif name:
        there.python(f"bin/{name}", version)
    done = there.start(shell)
    assert done.returncode == 0, done.stderr
    (said,) = done.stdout.splitlines()
    assert said.startswith(f"::warning title=p2pcache::Python 3.11 to 3.14 is needed and {found} is here: add")
    api, graphql = "https://ghes.example/api/v3", "https://ghes.example/api/graphql"
    assert there.outputs == {"post": "runner", "api-url": api, "graphql-url": graphql, "p2p-connected": "false"}
    assert (there.base / "env").read_text() == f"P2PCACHE_API_URL={api}\nP2PCACHE_GRAPHQL_URL={graphql}\n"
    strict = there.start(shell, INPUT_STRICT="true")
    assert strict.returncode == there.start(shell, INPUT_STRICT="yes").returncode == 1
    assert there.start(shell, INPUT_STRICT="False").returncode == 0
    assert strict.stdout.startswith("::error title=p2pcache::Python 3.11")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        ("runner", {"JOB_CONTAINER": "e3b0c44298fc"}),
        ("act", {"ACT": "true", "GITHUB_OUTPUT": "/var/run/act/workflow/outputcmd.txt"}),
    ],
)
def test_a_container_without_a_usable_python_hands_over_to_the_docker_action(
    runner: Callable[..., Runner], shell: str, kind: str, variables: dict[str, str]
) -> None:
    there = runner()
    there.python("bin/python3", "3.8.1")
    if "GITHUB_OUTPUT" in variables:
        script = there.action / "post/start.sh"  # act's path, which is not this machine's to write to
        script.write_text(script.read_text().replace('>>"$GITHUB_OUTPUT"', f'>>"{there.base}/out"'))
    done = there.start(shell, INPUT_STRICT="true", **variables)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("::notice title=p2pcache::no Python 3.11 to 3.14 is in this job's container, so the cache")
    assert there.outputs == {"post": kind, "sibling": kind}
    assert (there.base / "env").read_text() == "", "the Docker action writes it"
    found = (there.workspace / uses(kind, "sibling") / "action.yml").resolve()
    assert found == there.action / "docker/action.yml"


@pytest.mark.parametrize(("given", "named"), [("true", True), ("True", True), ("false", False), ("", False)])
def test_handing_over_says_that_the_docker_action_intercepts_nothing(
    runner: Callable[..., Runner], given: str, named: bool
) -> None:
    done = runner().start(JOB_CONTAINER="e3b0c44298fc", INPUT_INTERCEPT=given)
    assert ("'intercept: true' needs that Python" in done.stdout) is named


def test_a_usable_python_in_a_container_is_taken(runner: Callable[..., Runner]) -> None:
    there = runner()
    there.python("bin/python3", "3.12.1")
    assert there.start(JOB_CONTAINER="e3b0c44298fc").stdout == "chosen bin/python3\n"
    assert "sibling" not in there.outputs


@pytest.mark.parametrize(
    "variables", [{}, {"ACT": "true"}, {"JOB_CONTAINER": "e3b0c44298fc"}], ids=["host", "act's host", "no link"]
)
def test_without_a_job_container_or_the_link_nothing_takes_over(
    runner: Callable[..., Runner], variables: dict[str, str]
) -> None:
    there = runner()
    if "JOB_CONTAINER" in variables:
        (there.base / "work/_actions/.p2pcache").mkdir()
    done = there.start(**variables)
    assert done.stdout.splitlines()[-1].endswith("or use p2pcache's Docker action. The job goes on without the cache.")
    assert "sibling" not in there.outputs


def test_where_the_docker_action_failed_the_job_goes_on_past_the_cache(runner: Callable[..., Runner]) -> None:
    there = runner()
    done = there.start(script="direct.sh", SIBLING="failed")
    assert done.returncode == 0, done.stderr
    assert "none is here, and the container that was to run the cache beside the job's failed" in done.stdout
    assert done.stdout.endswith("or choose an image that has one. The job goes on without the cache.\n")
    assert there.outputs["api-url"] == "https://ghes.example/api/v3"
    assert "P2PCACHE_API_URL=https://ghes.example/api/v3\n" in (there.base / "env").read_text()


def test_real_old_pythons_are_no_error(runner: Callable[..., Runner]) -> None:
    """Those that are here; what every machine can check is in test_entrypoint."""
    there = runner()
    for python in Path.home().glob(".pyenv/versions/*/bin/python"):
        version = python.parts[-3]
        if version.split(".")[:2] in (["2", "7"], ["3", "6"], ["3", "10"]):
            (there.tools / "python3").unlink(missing_ok=True)
            (there.tools / "python3").symlink_to(python)
            assert f"only Python {version} is here" in there.start().stdout
            command = [python, ROOT / "entrypoint.py"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 1
            assert done.stderr.startswith("p2pcache needs Python 3.11"), "a sentence, no SyntaxError"


def test_an_upstream_that_is_no_url_reaches_no_file(runner: Callable[..., Runner]) -> None:
    there = runner()
    there.start(INPUT_UPSTREAM="http://127.0.0.1:8080/")
    assert there.outputs["graphql-url"] == "http://127.0.0.1:8080/graphql"
    there.start(INPUT_UPSTREAM="http://x\nPATH=/evil")
    assert "evil" not in (there.base / "env").read_text()
    for text in ("foo", "ftp://x", "https://", "http:///x"):
        there.start(INPUT_UPSTREAM=text)
        assert there.outputs["api-url"] == "https://ghes.example/api/v3", text
