"""What pip and uv were seen to say, and what is made of it."""

from __future__ import annotations

import pytest

from action.causes import explain


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("error: failed to write: /x/y\n  cause: No space left on device (os error 28)", "the disk is full"),
        ("error: Failed to initialize cache\n  cause: Read-only file system (os error 30)", "cannot be written"),
        ("hint: An index (http://x) returned a 403 Forbidden error.\nNo solution found", "refuses access"),
        ("  cause: invalid peer certificate: UnknownIssuer\n  cause: client error (Connect)", "set SSL_CERT_FILE"),
        ("error: Failed to fetch: x\n  cause: error sending request\n  cause: dns error", "cannot be resolved"),
        ("error: Failed to fetch: x\n  cause: tcp connect error\n  cause: Connection refused", "cannot be reached"),
        ("error: Hash mismatch for `x==1`", "other files than those"),
        ("first\n\n last \n", "last"),
        ("", "says nothing"),
    ],
)
def test_what_is_said_becomes_a_cause(said: str, cause: str) -> None:
    assert cause in explain(said)
