"""What a user waits for first: the environment built from the lock, and a warm `uses:` step.

Cold by uv and by pip (each with an empty tool cache; the package caches of this machine stay as they are), then the
step with everything in place. To reach: cold <= 20 s, warm <= 2 s.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
COLD_SECONDS, WARM_SECONDS = 20.0, 2.0
WARM_RUNS = 5
# A runner's Python has pip; a development environment's need not.
PYTHON = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")


def step(base: Path, tool_cache: Path, **variables: str) -> float:
    """Run the Action's step as the runner would; seconds."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("INPUT_", "CACHE_", "GITHUB_", "P2PCACHE_"))}
    files = {name: str(base / name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV")}
    for path in files.values():
        Path(path).touch()
    places = {"RUNNER_TEMP": str(base), "RUNNER_TOOL_CACHE": str(tool_cache)}
    inputs = {"INPUT_STRICT": "true", "INPUT_SECRET": secrets.token_hex(32), "INPUT_LISTEN_PORT": "0"}
    environ = {**kept, **files, **places, **inputs, **variables}
    begun = time.perf_counter()
    done = subprocess.run([str(PYTHON), str(ROOT / "entrypoint.py")], env=environ, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    sys.path.insert(0, str(ROOT))
    from p2pcache.runner import supervisor

    supervisor.stop(base / "p2pcache" / "run")
    return seconds


def without_uv() -> str:
    """The path with every folder that has a uv left out."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not Path(folder, "uv").exists())


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        if shutil.which("uv"):
            print(f"cold, uv: {step(base / 'job', base / 'uv'):6.2f} s (to reach: {COLD_SECONDS:g})")
        cold = step(base / "job", base / "pip", PATH=without_uv())
        print(f"cold, pip: {cold:5.2f} s (to reach: {COLD_SECONDS:g}; pip fetches a pinned uv, which does the rest)")
        warm = sorted(step(base / "job", base / "pip") for _ in range(WARM_RUNS))
        print(f"warm step: {warm[len(warm) // 2]:5.2f} s, median of {WARM_RUNS} (to reach: {WARM_SECONDS:g})")
        size = sum(f.stat().st_size for f in (base / "pip").rglob("*") if f.is_file() and not f.is_symlink())
        print(f"environment: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
