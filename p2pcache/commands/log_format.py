"""The log's lines, as text or as JSON: one an event, without what could steer a terminal, and without credentials.

Nothing hands a credential to the log: a `Secret` shows itself as asterisks. What is left out here is the second line of
defence, for messages of libraries and for addresses that hold one.
"""

from __future__ import annotations

import json
import logging
import re
import time

from p2pcache.github.tokens import PREFIX
from p2pcache.values import Secret

HIDDEN = "***"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DASH = r"(?:[_.-]|%5f|%2d|%2e)"
_WORD = r"(?:[\w.-]|%5f|%2d|%2e)*"
_NAMES = rf"{_WORD}(?:token|secret|signature|password|passwd|credential|api{_DASH}?key|access{_DASH}?key|\bsig){_WORD}"
_CREDENTIALS = (
    # What GitHub's tokens begin with, and a JSON Web Token's header; GitHub's newer tokens have one inside.
    (re.compile(rf"\b(?:{PREFIX}|eyJ[\w-]+\.)[\w.-]*\w"), HIDDEN),
    # A password may have what a URL's authority must not: up to the last @ before the text goes on.
    (re.compile(r"(?<=://)[^\s'\"@/]*:[^\s'\"]*@|(?<=://)[^/\s@'\"]+@"), f"{HIDDEN}@"),
    (re.compile(rf"([?&]{_NAMES}=)[^&\s'\"<>]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(rf"""(["']{_NAMES}["']\s*:\s*)("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)""", re.IGNORECASE),
        rf'\1"{HIDDEN}"',
    ),
    # A word after these names is no credential: one has a digit.
    (re.compile(r"\b(Bearer|Basic|token)(\s+)(?=\S*\d)[A-Za-z0-9._~+/=-]{12,}", re.IGNORECASE), rf"\1\2{HIDDEN}"),
)


def redacted(text: str) -> str:
    """Return `text` without GitHub tokens, users and secrets of URLs, and values of ``Authorization``."""
    for pattern, hidden in _CREDENTIALS:
        text = pattern.sub(hidden, text)
    return text


def one_line(text: str) -> str:
    """Return `text` with its control characters, line ends among them, as escapes."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class TextLines(logging.Formatter):
    """For people; a traceback follows its line as it is.

    Args:
        dated: begin with UTC time and level.
    """

    def __init__(self, *, dated: bool = True) -> None:
        line = "p2pcache: %(message)s"
        super().__init__(f"%(asctime)s %(levelname)s {line}" if dated else line, "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """Return the line."""
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and what belongs to it."""
        return redacted(super().format(record))


class JsonLines(logging.Formatter):
    """For machines: an object a line (docs/operating.md#the-log)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one object, in ASCII: whatever reads lines finds this one whole."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            found["exception"] = redacted(self.formatException(record.exc_info))
        found |= getattr(record, "request", {})
        return json.dumps(found, default=_shown)


def _shown(value: object) -> str:
    return HIDDEN if isinstance(value, Secret) else redacted(str(value))
