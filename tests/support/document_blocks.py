"""The commands in the documents, and a place to run them: a home, a network and a GitHub of their own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import certificates
from tests.support.namespaces import Namespace
from tests.support.processes import START_SECONDS, environment
from tests.support.programs import program

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
TOKEN = "ghp_" + "Ab3Cd5Ef7Gh9" * 3
PORT = 8300
BLOCK_SECONDS = 120
NAMES = {
    "OWNER/REPO": "octo/app",
    "OWNER/NAME": "octo/app",
    "python/cpython": "octo/app",
    "orgs/OWNER": "orgs/octo",
    "/var/lib/p2pcache": "$CACHE_DIR",
}
"""What a reader puts in place of a name, or has under another one."""
_BLOCK = re.compile(r"^( *)```(?:sh|console)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of shell commands."""

    document: str
    text: str

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.document}: {self.first[:50]}"


def blocks() -> list[Block]:
    """All of them, in the order of the documents."""
    return [
        Block(str(path.relative_to(ROOT)), textwrap.dedent(found[2]))
        for path in DOCUMENTS
        for found in _BLOCK.finditer(path.read_text("utf-8"))
    ]


# What a command does here that it cannot do alone: a server goes on while the block does, and says when it is there.
P2PCACHE = f"""#!/bin/bash
case " $* " in
  *" serve "*)
    ready=$(mktemp -u "$SANDBOX/ready.XXXXXX")
    setsid "{sys.executable}" -m p2pcache "$@" --ready-file "$ready" >>"$SANDBOX/log" 2>&1 </dev/null &
    echo $! >>"$SANDBOX/pids"
    until grep -qs '"p2p":"ready"' "$ready"; do
      kill -0 $! || {{ cat "$SANDBOX/log" >&2; exit 1; }}
      sleep 0.05
    done ;;
  *" rule-check "*) exec "{sys.executable}" -m p2pcache "$@" --upstream "$CACHE_UPSTREAM" ;;
  *) exec "{sys.executable}" -m p2pcache "$@" ;;
esac
"""
GH = f"""#!/bin/bash
case "$1 $2" in
  "secret set") value=$(cat); [ -n "$value" ] && printf '%s\\n' "$value" >"$SANDBOX/$3" ;;
  "auth token") echo {TOKEN} ;;
  *) export GITHUB_TOKEN={TOKEN}
     if [ -n "${{GH_CONFIG_DIR:-}}" ]; then exec {shutil.which("gh")} "$@"; fi
     exec "{sys.executable}" -m p2pcache --quiet run -- {shutil.which("gh")} "$@" ;;
esac
"""
SYSTEMCTL = """#!/bin/bash
pid=$(tail -n1 "$SANDBOX/pids")
case "$1" in
  reload) kill -HUP "$pid" ;;
  restart) kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done; p2pcache serve --hub ;;
  *) exit 9 ;;
esac
"""
IPFS = f"""#!/bin/bash
[ "$1" = daemon ] || exec "{program("kubo")}" "$@"
setsid "{program("kubo")}" "$@" >>"$SANDBOX/log" 2>&1 </dev/null &
echo $! >>"$SANDBOX/pids"
until curl -s -X POST http://127.0.0.1:5001/api/v0/id >/dev/null; do kill -0 $! || exit 1; sleep 0.05; done
"""
MCP_SERVER = f"""#!/bin/bash
setsid "{program("github-mcp-server")}" "$@" >>"$SANDBOX/log" 2>&1 </dev/null &
echo $! >>"$SANDBOX/pids"
until (exec 3<>/dev/tcp/127.0.0.1/8082) 2>/dev/null; do kill -0 $! || exit 1; sleep 0.05; done
"""
CURL = f"""#!/bin/bash
case "$*" in
  *hub.example.org*) exec nsenter --net="$ELSEWHERE" {shutil.which("curl")} "$@" ;;
  *) exec {shutil.which("curl")} "$@" ;;
esac
"""
"""What a document asks of a hub by its name, it asks from another machine."""
HUB = "192.0.2.7"
SHIMS = {
    "curl": CURL,
    "p2pcache": P2PCACHE,
    "gh": GH,
    "systemctl": SYSTEMCTL,
    "ipfs": IPFS,
    "github-mcp-server": MCP_SERVER,
}
CURLRC = f"""fail
insecure
resolve = "hub.example.org:8443:{HUB}"
"""
"""No certificate of a test is trusted, and no name of an example is there."""


@contextlib.contextmanager
def networks() -> Iterator[tuple[Namespace, Namespace]]:
    """A machine for the commands, and another one that reaches it at `HUB`."""
    with Namespace() as here, Namespace() as elsewhere:
        here.cable("hub0", f"{HUB}/24", elsewhere, "far0", "192.0.2.8/24")
        yield here, elsewhere


@contextlib.contextmanager
def github(namespace: Namespace, home: Path) -> Iterator[None]:
    """The stand-in, in a namespace."""
    ready, log = home / "github.json", home / "github.log"
    words = ("--port", str(PORT), "--ready-file", str(ready), "--token", f"{TOKEN}=octo/app")
    command = [*namespace.prefix, sys.executable, "-m", "p2pcache.testing", *words]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(home))
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


class Sandbox:
    """A home in which a block is run; what it starts ends with it."""

    def __init__(self, namespace: Namespace, elsewhere: Namespace, home: Path) -> None:
        self.namespace, self.elsewhere, self.home = namespace, elsewhere, home
        shims, work = home / "bin", home / "work"
        for folder in (shims, work, home / "state"):
            folder.mkdir()
        for name, text in SHIMS.items():
            (shims / name).write_text(text)
            (shims / name).chmod(0o755)
        (home / ".curlrc").write_text(CURLRC)
        chain, key = certificates.write(work, "hub.example.org")
        (work / "fullchain.pem").write_bytes(chain.read_bytes())
        (work / "privkey.pem").write_bytes(key.read_bytes())
        for name in ("webhook-secret", "control-token"):
            (work / name).write_text(os.urandom(32).hex())
        script = work / "script.sh"
        script.write_text('#!/bin/sh\ncurl -sS "$P2PCACHE_API_URL/repos/octo/app" >/dev/null\n')
        script.chmod(0o755)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script as a reader would, in bash, to its first command that fails."""
        for name, ours in NAMES.items():
            script = script.replace(name, ours)
        variables = environment(
            self.home,
            SANDBOX=str(self.home),
            ELSEWHERE=str(self.elsewhere.path),
            CACHE_DIR=str(self.home / "state"),
            CACHE_UPSTREAM=f"http://127.0.0.1:{PORT}",
            # A hub has no token of its own: with a personal one, that would be its secret.
            **({} if "--hub" in script else {"GITHUB_TOKEN": TOKEN}),
            IPFS_PATH=str(self.home / "ipfs"),
            PYTHONPATH=str(ROOT),
        )
        variables["PATH"] = f"{self.home / 'bin'}:{variables['PATH']}"
        command = [*self.namespace.prefix, "timeout", str(BLOCK_SECONDS), "bash", "-euo", "pipefail", "-c", script]
        said, work = self.home / "said", self.home / "work"
        with said.open("wb") as output:  # a pipe would be open as long as what a block left running
            done = subprocess.run(
                command, stdout=output, stderr=output, env=variables, cwd=work, stdin=subprocess.DEVNULL
            )
        return subprocess.CompletedProcess(command, done.returncode, said.read_text("utf-8"))

    def log(self) -> str:
        """What the servers of the block wrote."""
        path = self.home / "log"
        return path.read_text("utf-8") if path.exists() else ""

    def end(self) -> None:
        """End what the block left running."""
        self.run('eval "$(p2pcache --quiet down)"')
        pids = self.home / "pids"
        for pid in pids.read_text().split() if pids.exists() else ():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid), signal.SIGKILL)
