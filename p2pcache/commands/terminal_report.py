"""The report on a terminal: the tables of the job summary, with rules and colours; plain lines anywhere else.

Rich obeys NO_COLOR and TERM by itself. Cells are text, never Rich's markup: they may hold data of peers.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TextIO

import click

from p2pcache.ledger.stats import read
from p2pcache.runner import report_tables
from p2pcache.runner.concerns import concerns
from p2pcache.runner.report import MAX_SENTENCE, OFF, plain, text, time_saved
from p2pcache.runner.report_tables import EMPTY, FULL, Table, details, tables


def print_report(stats: Mapping[str, Any], *, err: bool = False) -> None:
    """Print the report to stdout, or with `err` to stderr.

    Raises:
        ValueError: `stats` is not a ledger.
    """
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        _print_rich(stats, stream)
    else:
        click.echo(text(stats), err=err)


def _print_rich(stats: Mapping[str, Any], stream: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    ledger = read(stats)
    console = Console(file=stream, highlight=False)
    console.print(Text(report_tables.headline(ledger), style="bold green" if ledger.api_calls_saved else "bold"))
    for concern in concerns(ledger):
        console.print(Text(f"{OFF} {plain(concern.sentence, MAX_SENTENCE)}", style="yellow"))
    for table in (*tables(ledger), *details(ledger)):
        if table.rows:
            console.print()
            console.print(_rich_table(table))
    if ledger.time_saved_ms:
        console.print(Text(f"\n{time_saved(ledger)}", style="dim"))


def _rich_table(table: Table) -> Any:
    from rich import box
    from rich.table import Table as RichTable

    drawn = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(table.head):
        drawn.add_column(name, justify="right" if place and table.figures else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(_cell, row))
    return drawn


def _cell(cell: str) -> Any:
    from rich.text import Text

    shown = Text(plain(cell))
    shown.highlight_regex(f"{FULL}+", "green")
    shown.highlight_regex(f"{EMPTY}+", "dim")
    return shown
