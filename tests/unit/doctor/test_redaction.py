"""What is printed has no secret of the environment, and nothing that a terminal or a runner would obey."""

import pytest

from p2pcache import settings
from p2pcache.commands.log_format import redacted
from p2pcache.doctor.finding import Patient, failed
from p2pcache.doctor.redaction import MOST_CHARACTERS, Redaction
from tests.support.patients import SECRET


@pytest.mark.parametrize(
    "name",
    ["CACHE_SECRET", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "CACHE_S3_ACCESS_KEY_ID", "DB_PASSWORD", "SOME_PAT"],
)
def test_the_value_of_a_secret_is_hidden_everywhere(name: str) -> None:
    finding = failed("read c4nary-c4nary", "do not use c4nary-c4nary", "as c4nary-c4nary")
    shown = Redaction(Patient({name: "c4nary-c4nary"})).of(finding)
    assert (shown.found, shown.advice, shown.detail) == ("read ***", "do not use ***", ("as ***",))


def test_each_line_of_several_secrets_is_one() -> None:
    shown = Redaction(Patient({"CACHE_SECRET": "n3w-n3w-n3w\n0ld-0ld-0ld\n"})).text("0ld-0ld-0ld or n3w-n3w-n3w")
    assert shown == "*** or ***"


def test_a_longer_secret_is_hidden_whole_where_a_shorter_one_is_a_part_of_it() -> None:
    hidden = Redaction(Patient({"A_TOKEN": "c4nary", "B_TOKEN": "c4nary-and-more"}))
    assert hidden.text("c4nary-and-more") == "***"


def test_a_secret_from_a_file_is_hidden() -> None:
    given = settings.load({}, {"CACHE_SECRET": SECRET, "CACHE_DIR": "/x"})
    assert SECRET not in Redaction(Patient(given=given)).text(f"sealed with {SECRET}")


def test_paths_and_words_stay() -> None:
    environ = {"CACHE_TLS_KEY": "/etc/ssl/key.pem", "CACHE_SECRET_FILE": "/run/secret", "USE_TOKEN": "true"}
    text = "/etc/ssl/key.pem and /run/secret are true"
    assert Redaction(Patient(environ)).text(text) == text


def test_what_has_the_form_of_a_credential_is_hidden_too() -> None:
    shown = Redaction(Patient(), redacted).text(f"at http://user:c4nary@proxy:80/x with ghp_{'a1' * 18}")
    assert shown == "at http://***@proxy:80/x with ***"


def test_what_a_server_says_is_one_short_line() -> None:
    shown = Redaction(Patient()).text("\x1b[31mred\n::error::no\r\n" + "x" * 5000)
    assert shown.isprintable()
    assert shown.startswith("[31mred ::error::no x")
    assert len(shown) == MOST_CHARACTERS
