"""What came of the connections, counted: for the summary, kept in a file that outlives the process."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from p2pcache import files
from p2pcache.wording import counted

MOST = 64
LONGEST = 64
"""Characters of the name of a program, or of a reason; all of ours are shorter."""
MOST_SHOWN = 6
OTHER = "other"
_ODD = re.compile(r"[^A-Za-z0-9._+-]")


class Counts(msgspec.Struct):
    """Connections by program.

    Attributes:
        answered: those that were led to the cache.
        passed_by: those that went on to GitHub as they were, by program and the reason for it.
        failed: those among the answered that turned away from our certificate.
        over: nobody is answered any more.
    """

    answered: dict[str, int] = {}
    passed_by: dict[str, dict[str, int]] = {}
    failed: dict[str, int] = {}
    over: bool = False

    def answer(self, program: str) -> None:
        """Count a connection that is answered here."""
        _add(self.answered, shown(program))

    def pass_by(self, program: str, reason: str) -> None:
        """Count one that is not."""
        name = shown(program)
        if name not in self.passed_by and len(self.passed_by) >= MOST:
            name = OTHER
        _add(self.passed_by.setdefault(name, {}), reason)

    def fail(self, program: str) -> None:
        """Count a client that did not take our certificate."""
        _add(self.failed, shown(program))

    def keep(self, path: Path) -> None:
        """Write the counts; where that fails, they are this process's alone."""
        files.replace(path, msgspec.json.encode(self))


def read(path: Path) -> Counts:
    """Return the counts of a file, none where there is no such file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Counts)
    except (OSError, msgspec.DecodeError):
        return Counts()


def converted(builtins: object) -> Counts:
    """Return counts that were kept as plain values.

    Raises:
        ValueError: these are none.
    """
    return msgspec.convert(builtins, Counts)


def passed(counts: Counts) -> str:
    """Return in one line how many connections were passed by, by program, and why; the most frequent first."""
    rows = [(n, name, why) for name, reasons in counts.passed_by.items() for why, n in reasons.items()]
    rows += [(n, name, "did not take our certificate, once each") for name, n in counts.failed.items()]
    if not rows:
        return "nobody"
    shown_rows = sorted(rows, reverse=True)[:MOST_SHOWN]
    more = f"; and {len(rows) - MOST_SHOWN} more" if len(rows) > MOST_SHOWN else ""
    connections = counted(sum(n for n, _, _ in rows), "connection")
    listed = "; ".join(f"{name} {n}: {why}" for n, name, why in shown_rows)
    return f"{connections} ({listed}{more})"


def shown(name: str) -> str:
    """Return the name of a program, which anybody may choose, as it can be shown in a log or a summary.

    Neither a runner's commands (``::error::``, ``##[error]``) nor markup can be made of what stays.
    """
    return _ODD.sub("?", name[:LONGEST]) or "unknown"


def _add(counts: dict[str, int], name: str) -> None:
    if name not in counts and len(counts) >= MOST:
        name = OTHER
    counts[name] = counts.get(name, 0) + 1
