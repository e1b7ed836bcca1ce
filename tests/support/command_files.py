"""The runner's command files (GITHUB_OUTPUT, GITHUB_ENV, ...) as the runner reads them."""

from __future__ import annotations

import re
from pathlib import Path


def values(path: Path | str) -> dict[str, str]:
    """Return what a step appended, each value between delimiters."""
    found = re.findall(r"^(\S+)<<(\S+)\n(.*?)\n\2$", Path(path).read_text(), re.DOTALL | re.MULTILINE)
    return {name: value for name, _, value in found}
