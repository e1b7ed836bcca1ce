"""Set up the environment and hand over to `p2pcache.runner.main` in it.

Any failure leaves the job running: one warning, and outputs that lead to GitHub itself. With `strict`, the job fails.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from action.environment import ROOT, SetupError, environment
from p2pcache.runner import direct

HAND_OVER_SECONDS = 120


def hand_over(python: Path, environ: Mapping[str, str]) -> None:
    """Run the rest in the environment; its stdout is the step's, its last line on stderr the reason of a failure.

    Raises:
        SetupError: it failed or exceeded `HAND_OVER_SECONDS`.
    """
    variables = {k: v for k, v in environ.items() if not k.startswith("PYTHON")}
    variables.update(PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1", PYTHONNOUSERSITE="1")
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [python, "-m", "p2pcache.runner.main", "start"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", env=variables, timeout=HAND_OVER_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SetupError(f"the node was not ready within {HAND_OVER_SECONDS} s") from None
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        raise SetupError(lines[-1] if lines else f"it ended with status {done.returncode}")


def escape(text: str) -> str:
    """Return `text` escaped such that it stays within one workflow command (actions/toolkit, command.ts)."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text[:1000].replace("%", "%25")


def fall_back(reason: str, environ: Mapping[str, str]) -> int:
    """Let the job go on without the cache; return the step's exit status, 1 if `strict`."""
    direct.bypass(environ)
    strict = direct.strict(environ)
    kind, rest = ("error", "") if strict else ("warning", " The job goes on without the cache.")
    print(f"::{kind} title=p2pcache::{escape(reason)}.{rest}", flush=True)
    return 1 if strict else 0


def main(environ: Mapping[str, str]) -> int:
    """Set up and hand over; return the step's exit status."""
    try:
        hand_over(environment(environ), environ)
    except (SetupError, OSError) as error:
        return fall_back(str(error).rstrip("."), environ)
    return 0
