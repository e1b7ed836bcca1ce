"""Members of a swarm in processes of their own, the same as in the integration tests."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MEMBER = Path(__file__).parents[1] / "tests" / "integration" / "swarm" / "member.py"
_ROUND = 3


class Member:
    """One process, controlled by lines of JSON."""

    def __init__(self, directory: Path, **spec: Any) -> None:
        directory.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, str(MEMBER), json.dumps({"directory": str(directory)} | spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addresses: list[str] = []

    def send(self, do: str, **how: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do} | how).encode() + b"\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        assert self._process.stdout is not None
        reply = json.loads(self._process.stdout.readline())
        if "error" in reply:
            sys.exit(reply["error"])
        return reply.get("answer")

    def do(self, do: str, **how: Any) -> Any:
        self.send(do, **how)
        return self.receive()

    def start(self, **spec: Any) -> None:
        [_, *self.addresses] = self.do("start", **spec)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def all_do(members: Sequence[Member], do: str, **how: Any) -> list[Any]:
    """Send a command to all before reading the first answer."""
    for member in members:
        member.send(do, **how)
    return [member.receive() for member in members]


@contextlib.contextmanager
def fleet(size: int, **spec: Any) -> Iterator[tuple[Member, list[Member]]]:
    """Start a hub and members that have joined it."""
    with tempfile.TemporaryDirectory() as home:
        made: list[Member] = []
        try:
            made += [Member(Path(home) / str(number), **spec) for number in range(size + 1)]
            for member in made:
                member.receive()
            hub, *members = made
            hub.start(hub=True)
            for start in range(0, size, _ROUND):
                for member in members[start : start + _ROUND]:
                    member.start(bootstrap=hub.addresses)
            all_do(members, "connected", n=1, timeout=20.0)
            yield hub, members
        finally:
            for member in made:
                member.kill()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
