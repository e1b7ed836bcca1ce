import json
import logging
import sys
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from p2pcache.commands.log_format import JsonLines, TextLines, redacted
from p2pcache.values import Secret


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("p2pcache.gateway", logging.WARNING, "", 1, message, arguments, None)
    made.created, made.msecs = 1_790_000_000.25, 250
    made.__dict__.update(extra)
    return made


def test_a_line_for_people() -> None:
    assert TextLines().format(record("%s went", "it")) == "2026-09-21T14:13:20Z WARNING p2pcache: it went"
    assert TextLines(dated=False).format(record("it went")) == "p2pcache: it went"


def test_a_line_for_machines() -> None:
    fields = {"route": "GET /user", "rule": "fresh", "tier": "memory", "status": 200, "ms": 0.3, "first_ms": 0.2}
    assert json.loads(JsonLines().format(record("%s went", "it", request=fields))) == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "warning",
        "logger": "p2pcache.gateway",
        "message": "it went",
        **fields,
    }


@hypothesis.given(st.text())
def test_any_message_is_one_line(message: str) -> None:
    for formatter in (TextLines(), JsonLines()):
        line = formatter.format(record("%s", message))
        assert not any(ord(each) < 32 or 127 <= ord(each) < 160 or each in "\u2028\u2029" for each in line)
    assert JsonLines().format(record("%s", message)).isascii()


def test_what_was_escaped_can_be_read() -> None:
    assert TextLines(dated=False).format(record("a\nb\x1b[2J")) == "p2pcache: a\\nb\\x1b[2J"
    assert json.loads(JsonLines().format(record("a\nb")))["message"] == "a\nb"


def test_a_traceback_stays_with_its_line() -> None:
    try:
        int("ghp_0123456789abcdef")
    except ValueError:
        error = sys.exc_info()
    text = TextLines(dated=False).format(record("it broke", exc_info=error))
    assert text.startswith("p2pcache: it broke\nTraceback")
    line = JsonLines().format(record("it broke", exc_info=error))
    assert "\n" not in line
    assert json.loads(line)["exception"].startswith("Traceback")
    assert "0123456789abcdef" not in text + line


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()], ids=["text", "json"])
def test_a_secret_is_hidden_by_its_type(formatter: logging.Formatter) -> None:
    shown = formatter.format(
        record("with %s and %r", Secret("hunter2"), [Secret("hunter2")], request={"it": Secret("hunter2")})
    )
    assert "hunter2" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "ghp_hunter2 was refused",
        "token github_pat_hunter2_x",
        "cannot reach https://mona:hunter2@proxy.example:8080/x",
        "GET https://store.example/k?X-Amz-Signature=hunter2&x=1",
        "GET /x?a=1&access_token=hunter2",
        "GET /x?sig=hunter2",
        "Authorization: Bearer hunter2hunter2hunter2",
        "Authorization: token 0123456789abcdef0123hunter2",
        "ghs_123456_eyJhbGciOi-J9.eyJ.hunter2-hunter2_x",
        "ghs_123456_eyJhbGciOiJ9.hunter2, and more",
        "claims of eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.hunter2-_x are wrong",
        "GET /x?a=1&client%5Fsecret=hunter2",
        "GET /x?access%5ftoken=hunter2",
        "cannot reach http://mona:hun/ter2hunter2@proxy.example:8080/x",
        "cannot reach http://mona:p@hunter2@proxy.example:8080",
        '{"client_secret": "hunter2", "id": 1}',
        """{'access_token': 'it\\'s hunter2'}""",
        '{"password":"hunter2',
        "authorization: basic aHVudGVyMjpodW50ZXIy hunter2".removesuffix(" hunter2"),
    ],
)
def test_credentials_are_left_out(text: str) -> None:
    shown = redacted(text)
    assert "hunter2" not in shown
    assert "aHVudGVyMj" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "bootstrap /ip4/127.0.0.1/tcp/9100/p2p/12D3KooWNzDaLaUb3mtk7nsruzZUoU7owQJcYNac9DCoSLNcYpso: nothing listens",
        "CACHE_SECRET: the secret needs letters and digits; make one with: p2pcache keygen",
        "Send the node's CACHE_CONTROL_TOKEN as a bearer token (where it is not set: what control-token holds)",
        "basic credentials were refused by https://api.github.com/repos/octo/app?per_page=100",
        "member 12D3KooWBq4U joined from /ip4/127.0.0.1/tcp/34801",
    ],
)
def test_sentences_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("text", ["?" + "_" * 5000, "'" + "token" * 1000, "://" + ":" * 5000, "eyJ" * 2000])
def test_no_text_takes_long(text: str) -> None:
    """An ambiguous pattern would take years."""
    assert redacted(text) == text
