"""One sentence for each error that its user can mend, and no byte that the service chose."""

from __future__ import annotations

import pytest

from p2pcache.stores.s3 import forwarding
from p2pcache.stores.s3.object_errors import code, explained

HOSTILE = "<Message>secret of mona: hunter2</Message>"


def answered(
    status: str, name: str = "", method: str = "GET", url: str = "https://s3.us-east-1.amazonaws.com/b"
) -> Exception:
    """As obstore 0.12 words it."""
    body = f"<?xml version='1.0'?>\n<Error><Code>{name}</Code>{HOSTILE}</Error>" if name else HOSTILE
    return Exception(
        f"Generic S3 error: Error performing {method} {url} in 880.845µs - Server returned non-2xx status code: "
        f"{status}: {body}\n\nDebug source:\nGeneric {{ store: S3 }}"
    )


@pytest.mark.parametrize(
    ("status", "name", "sentence", "lasting"),
    [
        ("403 Forbidden", "InvalidAccessKeyId", "it does not know this access key", True),
        ("403 Forbidden", "SignatureDoesNotMatch", "the secret access key does not belong", True),
        ("400 Bad Request", "ExpiredToken", "the credentials have expired", True),
        ("400 Bad Request", "InvalidToken", "the session token is not valid", True),
        ("403 Forbidden", "RequestTimeTooSkewed", "this machine's clock", True),
        ("404 Not Found", "NoSuchBucket", "there is no such bucket", True),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "set CACHE_S3_REGION", True),
        ("301 Moved Permanently", "PermanentRedirect", "set CACHE_S3_REGION", True),
        ("301 Moved Permanently", "", "set CACHE_S3_REGION", True),
        ("403 Forbidden", "AccessDenied", "do not allow it", True),
        ("403 Forbidden", "", "do not allow it", True),
        ("403 Forbidden", "SomethingNew", "do not allow it", True),
        ("503 Slow Down", "SlowDown", "it asks for fewer requests", False),
        ("429 Too Many Requests", "", "it asks for fewer requests", False),
        ("500 Internal Server Error", "InternalError", "it answers with status 500", False),
        ("421 Misdirected Request", forwarding.REDIRECTS, "it redirects, which is not followed", True),
        ("421 Misdirected Request", forwarding.UNTRUSTED, "its certificate is not trusted here", True),
        ("421 Misdirected Request", "", "it answers with status 421", False),
        ("502 Bad Gateway", forwarding.UNREACHABLE, "it cannot be reached", False),
        ("502 Bad Gateway", forwarding.BROKEN, "an answer of it was cut off or malformed", False),
        ("504 Gateway Timeout", forwarding.SLOW, "no answer in time", False),
        ("507 Insufficient Storage", "", "it answers with status 507", False),
    ],
)
def test_an_answer_is_one_sentence(status: str, name: str, sentence: str, lasting: bool) -> None:
    error = explained(answered(status, name))
    assert sentence in str(error)
    assert error.lasting is lasting
    assert "hunter2" not in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["AccessDenied", "InvalidIdentityToken", "ExpiredTokenException"])
def test_a_role_that_is_not_given_is_named(name: str) -> None:
    error = explained(answered("400 Bad Request", name, "POST", "REDACTED"))
    assert "the role is not given to this job" in str(error)
    assert error.lasting


@pytest.mark.parametrize(
    ("text", "sentence", "lasting"),
    [
        (
            "HTTP error: error sending request\n\nDebug source: HttpError {\n kind: Connect,",
            "it cannot be reached",
            False,
        ),
        ("HTTP error: request timed out\n\nDebug source: HttpError {\n kind: Timeout,", "no answer in time", False),
        (
            "Received redirect without LOCATION, this normally indicates an incorrectly configured region",
            "REGION",
            True,
        ),
        (
            "Error performing PUT http://169.254.169.254/latest/api/token: error sending",
            "this machine has no role",
            True,
        ),
        ("HTTP error: error decoding response body\n kind: Decode,", "cut off or malformed", False),
        ("", "cut off or malformed", False),
    ],
)
def test_a_failure_without_an_answer_is_one_sentence(text: str, sentence: str, lasting: bool) -> None:
    error = explained(Exception(text))
    assert sentence in str(error)
    assert error.lasting is lasting


def test_the_code_beats_the_status() -> None:
    assert code(answered("501 Not Implemented", "NotImplemented")) == "NotImplemented"
    assert code(answered("501 Not Implemented")) == "501"
    assert code(Exception("kind: Connect")) == ""


def test_a_huge_answer_is_not_searched_through() -> None:
    assert code(Exception("x" * (1 << 20) + "<Code>NoSuchBucket</Code>")) == ""
