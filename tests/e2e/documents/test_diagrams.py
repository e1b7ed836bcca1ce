"""The diagrams of the documents and of the job summary, drawn by Mermaid in a light and in a dark theme."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2pcache.ledger.ledger import Ledger
from p2pcache.runner.report import markdown
from tests.support.browser import PROGRAM, Tab, chromium
from tests.support.document_blocks import DOCUMENTS

pytestmark = [pytest.mark.needs(PROGRAM, "mermaid"), pytest.mark.timeout(120)]
MERMAID = Path(__file__).parents[2] / "mermaid/node_modules/mermaid/dist/mermaid.min.js"
DRAW = """(async () => {{
  mermaid.initialize({{startOnLoad: false, theme: {theme}}});
  return (await mermaid.render("drawn", {chart})).diagramType;
}})()"""


def charts(text: str) -> list[str]:
    return re.findall(r"```mermaid\n(.*?)\n```", text, re.DOTALL)


def summary() -> str:
    ledger = Ledger()
    for tier in ("memory", "disk", "peer", 'a"; [tier] %% {of} strangers'):
        ledger.hit(tier, ledger.route("GET /user"), 10, 10)
    ledger.bypassed(ledger.route("POST /graphql"))
    return markdown(ledger.stats())


DRAWN = {path.name: charts(path.read_text("utf-8")) for path in DOCUMENTS} | {"the job summary": charts(summary())}


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with chromium(tmp_path / "profile") as new, new() as tab:
        await tab.run(MERMAID.read_text("utf-8"))
        yield tab


async def test_every_diagram_is_drawn_in_both_themes(tab: Tab) -> None:
    for theme in ("default", "dark"):
        drawn = {
            name: [await tab.run(DRAW.format(theme=json.dumps(theme), chart=json.dumps(chart))) for chart in found]
            for name, found in DRAWN.items()
        }
        assert drawn["README.md"] == ["flowchart-v2"]
        assert drawn["the job summary"] == ["pie"]


async def test_what_mermaid_cannot_read_fails(tab: Tab) -> None:
    with pytest.raises(AssertionError, match="Parse error"):
        await tab.run(DRAW.format(theme='"default"', chart=json.dumps("flowchart LR\n  a[")))
