"""The last look at what is printed: no secret of this environment in it, and no character that a terminal obeys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from p2pcache.doctor.finding import CheckFinding, Patient

MOST_CHARACTERS = 500
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|(?:^|_)(?:KEY|PAT)(?:_|$)|_KEY")
_PATH_NAME = re.compile(r"_(?:FILE|PATH|DIR|CERT)$|^CACHE_TLS_KEY$")
"""Of the path of a file."""
_SHORTEST = 6
"""A shorter value is a word such as `true`, and replacing it would spoil sentences."""
_HIDDEN = "***"


class Redaction:
    """Replaces the values of variables with a secret's name, and of the secrets that settings have from files.

    Checks print no secrets by construction; this is for what libraries and servers put into their messages.

    Args:
        patient: whose secrets they are.
        hide: replaces what has the form of a credential, of this environment or not.
    """

    def __init__(self, patient: Patient, hide: Callable[[str], str] = str) -> None:
        self._hide = hide
        values = {
            line.strip()
            for name, value in patient.environ.items()
            if _SECRET_NAME.search(name) and not _PATH_NAME.search(name)
            for line in value.splitlines()
        }
        if patient.given is not None:
            values.update(secret.reveal() for secret in patient.given.secrets)
        self._values = sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True)

    def of(self, finding: CheckFinding) -> CheckFinding:
        """Return `finding` as it may be printed."""
        return replace(
            finding,
            found=self.text(finding.found),
            advice=self.text(finding.advice),
            detail=tuple(self.text(line) for line in finding.detail),
        )

    def text(self, text: str) -> str:
        """Return `text` in one line, without secrets."""
        for value in self._values:
            text = text.replace(value, _HIDDEN)
        line = " ".join("".join(c if c.isprintable() else " " for c in self._hide(text)).split())
        return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"
