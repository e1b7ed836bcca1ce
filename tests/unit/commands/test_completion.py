"""Completion, as a real shell asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2pcache.cli import main
from p2pcache.commands.completion import SHELLS

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `p2pcache` is this tree's."""
    program = tmp_path / "bin" / "p2pcache"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m p2pcache "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def ran(path: str, *command: str) -> list[str]:
    environ = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(Path(path.partition(":")[0]).parent), "TERM": "dumb"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


BASH = """
eval "$(p2pcache completion bash)"
complete -p p2pcache >/dev/null
COMP_WORDS=({words}) COMP_CWORD={at}
_p2pcache_completion p2pcache
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_bash_completes_commands_and_flags(path: str) -> None:
    assert ran(path, "bash", "-c", BASH.format(words="p2pcache st", at=1)) == ["stats"]
    assert ran(path, "bash", "-c", BASH.format(words="p2pcache stats --", at=2)) == [
        "--json", "--markdown", "--dir", "--quiet", "--help",
    ]  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_that_asks_the_program(shell: str) -> None:
    printed = CliRunner().invoke(main, ["completion", shell])
    assert printed.exit_code == 0
    assert f"_P2PCACHE_COMPLETE={shell}_complete" in printed.output


@pytest.mark.needs("zsh")
def test_zsh_takes_its_script(path: str) -> None:
    asked = 'autoload -Uz compinit; compinit -u -D; eval "$(p2pcache completion zsh)"; print $_comps[p2pcache]'
    assert ran(path, "zsh", "-fc", asked) == ["_p2pcache_completion"]


@pytest.mark.needs("fish")
def test_fish_completes_commands(path: str) -> None:
    asked = 'p2pcache completion fish | source; complete --do-complete "p2pcache sta"'
    assert ran(path, "fish", "--no-config", "-c", asked)[0] == "stats"
