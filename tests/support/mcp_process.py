"""``p2pcache mcp`` as a process, as an editor starts it, with the SDK's client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import Client, StdioServerParameters

from tests.support.gateway import TOKEN

COMMAND = (sys.executable, "-m", "p2pcache", "mcp")
SECONDS = 40


def variables(home: Path, **given: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GITHUB_TOKEN": TOKEN, **given}


@asynccontextmanager
async def started(*arguments: str, **environ: str) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *arguments], env=environ)
    async with asyncio.timeout(SECONDS), Client(parameters) as client:
        yield client
