"""``p2pcache completion``: what a shell has to run to complete this program's commands, flags and values."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

PROGRAM = "p2pcache"
VARIABLE = "_P2PCACHE_COMPLETE"
"""By which click recognises that the shell asks (click, Shell Completion)."""
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "fish": FishComplete, "zsh": ZshComplete}


def completion(program: click.Command, shell: str) -> None:
    """Print the script of `shell`; its functions ask `PROGRAM` of the path for candidates."""
    script = SHELLS[shell](program, {}, PROGRAM, VARIABLE)
    # Not `ShellComplete.source`: that of bash would run the bash of the path to look at its version.
    click.echo(script.source_template % script.source_vars())
