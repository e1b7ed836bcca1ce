"""Print docs/settings.md from the declarations: ``make reference``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from p2pcache.declarations import INPUTS, SETTINGS
from p2pcache.options import Setting

INTRODUCTION = """\
# Settings

<!-- Made from p2pcache/declarations.py and p2pcache/backends/ by `make reference`: edit those. -->

Flags are those of `p2pcache serve`, `up` and `run`. A flag beats a variable, which beats the default. Where a setting
has several variables, the first that is set counts; an empty one counts as unset. A list is separated by commas or
white space; a flag that is repeatable takes one item each time. A value that cannot be used is one line and exit status
2; a variable that begins with `CACHE_` and is not among these is ignored, and named with the nearest that is.
"""
NODE = """\
## The node
"""
ACTION = """\
## The Action

An input above sets its variable for the job's node. Left out, it is what stands beside it; where nothing does, or where
it is empty, the job's own variable counts, and then the default. These are of the Action alone:
"""


def reference() -> str:
    """Return the document in Markdown."""
    settings = _table(("flag", "variable", "input", "default", "meaning", "value"), _settings())
    inputs = _table(("input", "default", "meaning"), _inputs())
    return "\n".join((INTRODUCTION, NODE, settings, ACTION, inputs))


def _settings() -> Iterator[Sequence[str]]:
    for setting in SETTINGS:
        if not setting.internal:
            yield (
                _code(setting.flag),
                "<br>".join(map(_code, setting.variables)),
                _input(setting),
                _default(setting),
                f"{setting.help} With the flag: {setting.flag_help}" if setting.flag_help else setting.help,
                setting.expected,
            )


def _input(setting: Setting) -> str:
    return f"{_code(setting.input)}: {_code(setting.input_default)}" if setting.input_default else _code(setting.input)


def _default(setting: Setting) -> str:
    if not setting.default:
        return setting.otherwise
    in_mib = f" ({int(setting.default) >> 20} MiB)" if setting.unit == "bytes" else ""
    return f"{_code(setting.default)} {setting.unit}{in_mib}".rstrip()


def _inputs() -> Iterator[Sequence[str]]:
    for given in INPUTS:
        if given.composite:
            only = "" if given.docker else " Not in the Docker Action."
            yield _code(given.name), _code(given.default), given.help + only


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(reference(), end="")
