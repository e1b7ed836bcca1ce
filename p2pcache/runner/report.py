"""The report: one line first, what is off, then by tier, the busiest operations, quota and peers, then the details.

Pure functions over the statistics (docs/interface.md#the-ledger). The terminal and the job summary show the same
tables in different formats. Cells may hold data of peers or of GitHub, so each is escaped for its destination.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from p2pcache.ledger.stats import Stats, read
from p2pcache.runner import report_tables
from p2pcache.runner.concerns import Concern, concerns
from p2pcache.runner.report_tables import EMPTY, FULL, Table, details, facts, tables

MAX_CELL = 120
"""Characters of a cell."""
MAX_SENTENCE = 400
OFF = "⚠"


def headline(stats: Mapping[str, Any]) -> str:
    """Return the report in one line, e.g. "812 of 978 API calls saved (83 % hit rate), 41 s not waited, …".

    Raises:
        ValueError: `stats` is not a ledger (also by `text` and `markdown`).
    """
    return report_tables.headline(read(stats))


def text(stats: Mapping[str, Any]) -> str:
    """Return the report as lines for a log or a pipe, free of control characters and workflow commands."""
    ledger = read(stats)
    parts = [report_tables.headline(ledger)]
    if off := concerns(ledger):
        parts.append("\n".join(f"{OFF} {plain(concern.sentence, MAX_SENTENCE)}" for concern in off))
    parts += [_as_text(table) for table in (*tables(ledger), *details(ledger)) if table.rows]
    if ledger.time_saved_ms:
        parts.append(time_saved(ledger))
    return "\n\n".join(parts)


def markdown(
    stats: Mapping[str, Any], given: Mapping[str, str] | None = None, off: Sequence[Concern] | None = None
) -> str:
    """Return the report for `GITHUB_STEP_SUMMARY`, below 1 MiB.

    Args:
        stats: the ledger.
        given: rows of the table of the network, such as its mode.
        off: what is off, instead of what the ledger alone shows.
    """
    ledger = read(stats)
    off = concerns(ledger) if off is None else off
    tiers, routes, *others = tables(ledger)
    parts = [f"### p2pcache: {report_tables.headline(ledger)}"]
    parts.append("\n".join(f"- {OFF} {escaped(concern.sentence, MAX_SENTENCE)}" for concern in off))
    parts += [_as_markdown(tiers), _pie(ledger), _as_markdown(routes), *map(_as_markdown, others)]
    folded = [_as_markdown(table) for table in (facts(given or {}), *details(ledger))]
    if ledger.time_saved_ms:
        folded.append(f"Time not waited: {escaped(ledger.time_saved_how)}.")
    if any(folded):
        parts += ["<details><summary>Details</summary>", *folded, "</details>"]
    return "\n\n".join(part for part in parts if part) + "\n"


def time_saved(stats: Stats) -> str:
    """Return the sentence about what the saved time is measured by."""
    return f"Time not waited: {plain(stats.time_saved_how)}."


def plain(cell: str, most: int = MAX_CELL) -> str:
    """Return a line without control characters and workflow commands.

    The runner executes a line that begins, after blanks, with ``::``, and one that holds ``##[`` anywhere
    (actions/runner, src/Runner.Common/ActionCommand.cs).
    """
    return re.sub(r":(?=:)", ": ", _line(cell, most)).replace("##[", "## [")


def _as_text(table: Table) -> str:
    rows = [tuple(map(plain, row)) for row in (table.head, *table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in [table.title, *lines])


def _as_markdown(table: Table) -> str:
    if not table.rows:
        return ""
    most = MAX_CELL if table.figures else MAX_SENTENCE
    align = (":--", *["--:" if table.figures else ":--"] * (len(table.head) - 1))
    lines = [table.head, align, *(tuple(escaped(cell, most) for cell in row) for row in table.rows)]
    return f"**{table.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _pie(stats: Stats) -> str:
    """Return Mermaid's pie of the tiers, in the colours of the reader's theme: GitHub draws it in both."""
    slices = list(_slices(stats))
    return "\n".join(["```mermaid", "pie showData title Answered by", *slices, "```"]) if slices else ""


def _slices(stats: Stats) -> Iterator[str]:
    for name, requests, _ in next(iter(tables(stats))).rows:
        if requests:
            # Mermaid takes quotes, brackets and semicolons in a label for syntax.
            yield f'  "{re.sub(r"[^A-Za-z0-9 ,]", " ", plain(name))}" : {requests}'


def _line(cell: str, most: int = MAX_CELL) -> str:
    """Return one line of printable text, at most `most` characters."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cell[: most + 1])
    return line if len(line) <= most else f"{line[: most - 1]}…"


_SPECIAL = re.compile(rf"[^\w /{{}}.,:;=()%+{FULL}{EMPTY}-]|_|::|://|(?<=[wW])\.")


def escaped(cell: str, most: int = MAX_CELL) -> str:
    """Return a line with every character that is special in Markdown or HTML as a character reference.

    A reference is never syntax (CommonMark 0.31, 2.5), so no cell can end its table, start a tag or make a
    link; nor is it a workflow command where act prints the summary to its log.
    """
    return _SPECIAL.sub(lambda found: "".join(f"&#{ord(c)};" for c in found[0]), _line(cell, most))
