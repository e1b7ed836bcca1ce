"""GitHub's ETag, computed for any caller: the rule behind free proof (DESIGN section 1.2), and the watch kept on it.

Observed, not documented: bored-engineer/github-conditional-http-transport, hash.go and README.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

EMPTY_LIST = b"[]"
"""The body whose tag is worth trying on the first request for a list."""

_TAG = re.compile(r'(?:W/)?"[^"\x00-\x20\x7f]*"|\*')


def computed(accept: str | None, authorization: str | None, cookie: str | None, body: bytes) -> str:
    """The strong tag, quoted, that GitHub gives `body` for a request with these header values.

    Each present value is hashed followed by a colon, an empty one too: hash.go makes no exception for it, and
    nothing is known of GitHub's own handling of an empty ``Accept``, which gh sends. `body` is what GitHub sent
    before compression, to an agent it does not pretty-print for.
    """
    digest = hashlib.sha256()
    for value in (accept, authorization, cookie):
        if value is not None:
            digest.update(value.encode("utf-8", "surrogateescape") + b":")
    digest.update(body)
    return f'"{digest.hexdigest()}"'


def weakly_equal(a: str, b: str) -> bool:
    """RFC 9110 section 8.8.3.2: GitHub may show the same tag weak."""
    return a.strip().removeprefix("W/") == b.strip().removeprefix("W/")


def parse_tags(if_none_match: str) -> tuple[str, ...]:
    """The tags of an ``If-None-Match`` as written, or ``("*",)``; what is not a tag is skipped.

    RFC 9110 section 13.1.2.
    """
    return tuple(_TAG.findall(if_none_match))


@dataclass(slots=True)
class RuleTrial:
    """Whether the rule holds at one upstream, learned from the answers that carry both a tag and a body.

    It is tried until it is known: ``untested`` counts as usable. An answer that agrees proves it, since a SHA-256
    does not agree by chance. Some bodies never agree (commits were unstable in November 2024), so disagreement
    ends it only after `PATIENCE` answers none of which agreed or, once it held, `RELAPSE` disagreements in a row:
    long enough for a stretch of unstable bodies, short enough to notice that GitHub changed the rule. A failed
    trial goes on observing and holds again with the next agreement.
    """

    PATIENCE = 8
    RELAPSE = 50

    state: Literal["untested", "holds", "fails"] = "untested"
    agreed: int = 0
    disagreed: int = 0
    _in_a_row: int = 0

    @property
    def usable(self) -> bool:
        """Whether computed tags are worth sending."""
        return self.state != "fails"

    def observe(self, given_etag: str | None, expected: str) -> bool:
        """Learn from an answer's tag; True exactly when the state turns to ``fails``, so that it is said once.

        An answer without a tag tells nothing of the rule.
        """
        if given_etag is None:
            return False
        if weakly_equal(given_etag, expected):
            self.agreed += 1
            self._in_a_row = 0
            self.state = "holds"
            return False
        self.disagreed += 1
        self._in_a_row += 1
        if self.state == "fails" or self._in_a_row < (self.RELAPSE if self.agreed else self.PATIENCE):
            return False
        self.state = "fails"
        return True
