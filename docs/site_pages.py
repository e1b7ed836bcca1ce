"""The pages of the documentation's site: docs/ and the documents at the root, with links that lead there.

`make docs` runs ``python docs/site_pages.py build/pages`` and then the generator (zensical.toml). On GitHub the same
files are read as they are, so a link names a file of the tree: it becomes a page's, or its place on GitHub.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ON_GITHUB = "https://github.com/p2pcache/p2pcache"
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "bench/README.md": "benchmarks.md",
}
"""Documents outside of docs/ that are pages, and their names among these."""
ASSETS = (".png", ".json")
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)


def pages() -> dict[str, str]:
    """Return the name of each page by the path of its file in the tree."""
    return {**ROOT_PAGES, **{f"docs/{file.name}": file.name for file in sorted((ROOT / "docs").glob("*.md"))}}


def page(source: str, text: str) -> str:
    """Return the page of a document, `text` of the file `source`, with the links changed outside of code.

    Raises:
        ValueError: a link leads to a file that is not in the tree.
    """
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_linked(source, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _linked(source, text[end:])])


def write(folder: Path) -> None:
    """Write all pages and what they show to `folder`, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source, name in pages().items():
        (folder / name).write_text(page(source, (ROOT / source).read_text("utf-8")), "utf-8")
    for file in (ROOT / "docs").iterdir():
        if file.suffix in ASSETS:
            shutil.copy(file, folder / file.name)


def _linked(source: str, text: str) -> str:
    return _LINK.sub(lambda link: _target(source, link["target"]) + (link["anchor"] or ""), text)


def _target(source: str, target: str) -> str:
    if not target or re.match(r"[a-z]+:", target):
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if not (ROOT / path).exists():
        raise ValueError(f"{source}: {target} is not in the tree")
    if path in pages():
        return pages()[path]
    if path.startswith("docs/") and path.endswith(ASSETS):
        return path.removeprefix("docs/")
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{ON_GITHUB}/{kind}/main/{path}"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
