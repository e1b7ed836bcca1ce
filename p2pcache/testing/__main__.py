"""``python -m p2pcache.testing``: the stand-in GitHub as a process, for clients in other languages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from p2pcache.testing.program import serve
from p2pcache.testing.standin import StandIn


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 is any free one.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once it answers: {url, pid}.")
@click.option("--fixtures", type=click.Path(path_type=Path), help="An installed @octokit/fixtures, served besides.")
@click.option("--token", "tokens", multiple=True, metavar="VALUE[=OWNER/REPO,...]", help="A known credential.")
@click.option("--latency", default=0.0, type=click.FloatRange(0, 60), help="Seconds that every answer takes.")
@click.option("--seed", default=0, help="What the content is made from.")
def main(
    host: str,
    port: int,
    ready_file: Path | None,
    fixtures: Path | None,
    tokens: tuple[str, ...],
    latency: float,
    seed: int,
) -> None:
    """Serve a synthetic GitHub until interrupted. Control: /_stand-in/calls, charged, token, fault, ..."""
    try:
        github = StandIn(seed=seed, latency=latency, fixtures=fixtures, host=host, port=port)
        github.populate()
        for each in tokens:
            value, _, repos = each.partition("=")
            github.token(value, repos=list(filter(None, repos.split(","))))
        asyncio.run(serve(github, ready_file))
    except (ValueError, OSError) as problem:
        raise click.ClickException(str(problem)) from None


if __name__ == "__main__":
    main()
