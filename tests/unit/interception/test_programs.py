"""Which environments make which programs trust our certificate: the table, and what speaks against it."""

from __future__ import annotations

import pytest

from p2pcache.interception.programs import Process, Program, why_not

FILE, FOLDER = "/job/tls/ours.pem", "/job/tls/dir"
OURS = frozenset({FILE, FOLDER})
THEIRS = "/home/user/company.pem"
GIVEN = {"NODE_EXTRA_CA_CERTS": FILE, "SSL_CERT_DIR": f"{FOLDER}:/etc/ssl/certs", "REQUESTS_CA_BUNDLE": FILE}
"""What later steps of a job get where nothing was set."""


def process(name: str, environ: dict[str, str], *arguments: str, **more: object) -> Process:
    fields = {"go": name == "gh", "arguments": (name, *arguments), **more}
    return Process(name, environ=environ, **fields)  # type: ignore[arg-type]


def trusts(name: str, environ: dict[str, str]) -> bool:
    return why_not(process(name, environ), OURS) == ""


@pytest.mark.parametrize(
    "name", ["node", "node20", "nodejs", "python3.11", "python", "python3.13t", "curl", "gh", "ruby3.1"]
)
def test_known_programs_are_answered_with_what_a_job_gets_and_not_without(name: str) -> None:
    assert trusts(name, GIVEN)
    assert not trusts(name, {})


@pytest.mark.parametrize(
    "name",
    ["java", "wget", "git-remote-https", "php", "bun", "dotnet", "nodemon", "python-config", "curl2", "", "Node"],
)
def test_others_are_passed_by_whatever_they_were_given(name: str) -> None:
    every = dict.fromkeys((*GIVEN, "SSL_CERT_FILE", "CURL_CA_BUNDLE", "DENO_CERT"), FILE)
    assert why_not(process(name, every), OURS) == "a program that is not known to read a variable"


@pytest.mark.parametrize(
    ("name", "changed", "trusted"),
    [
        # A user's own variable decides alone for the programs that read it, and for no other.
        ("node", {"NODE_EXTRA_CA_CERTS": THEIRS}, False),
        ("python3", {"NODE_EXTRA_CA_CERTS": THEIRS}, True),
        ("python3", {"REQUESTS_CA_BUNDLE": THEIRS}, False),
        ("python3", {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": FILE}, True),
        ("python3", {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": THEIRS}, False),
        ("python3", {"CURL_CA_BUNDLE": THEIRS}, True),
        ("python3", {"REQUESTS_CA_BUNDLE": ""}, False),
        ("python3", {"SSL_CERT_FILE": THEIRS}, False),
        ("python3", {"SSL_CERT_FILE": FILE}, True),
        ("python3", {"SSL_CERT_FILE": FILE, "SSL_CERT_DIR": ""}, True),
        ("python3", {"SSL_CERT_DIR": "/etc/ssl/certs"}, False),
        ("curl", {"CURL_CA_BUNDLE": THEIRS}, False),
        ("curl", {"CURL_CA_BUNDLE": FILE, "SSL_CERT_DIR": "/etc"}, True),
        ("curl", {"SSL_CERT_DIR": f"/etc/ssl/certs:{FOLDER}"}, True),
        ("curl", {"SSL_CERT_DIR": f"{FOLDER}2"}, False),
        ("curl", {"SSL_CERT_FILE": THEIRS}, False),
        ("curl", {"REQUESTS_CA_BUNDLE": THEIRS}, True),
        ("gh", {"SSL_CERT_DIR": "", "SSL_CERT_FILE": FILE}, True),
        ("gh", {"SSL_CERT_DIR": "/mine", "SSL_CERT_FILE": FILE}, False),
        ("ruby", {"SSL_CERT_FILE": THEIRS}, False),
        # Not all versions of these read a folder, or Node.js's variable.
        ("uv", {}, False),
        ("uv", {"SSL_CERT_FILE": FILE}, True),
        ("uv", {"SSL_CERT_FILE": THEIRS}, False),
        ("deno", {}, False),
        ("deno", {"DENO_CERT": FILE}, True),
        ("deno", {"DENO_CERT": THEIRS}, False),
    ],
)
def test_the_table(name: str, changed: dict[str, str], trusted: bool) -> None:
    assert trusts(name, {**GIVEN, **changed}) == trusted


@pytest.mark.parametrize("library", ["libcurl.so.4", "libcurl-gnutls.so.4.8.0", "libcurl-3f1.so"])
@pytest.mark.parametrize("name", ["python3", "ruby3.1"])
def test_libcurl_in_a_script_reads_no_variable(name: str, library: str) -> None:
    loaded = frozenset({"libc.so.6", library})
    assert why_not(process(name, GIVEN, loaded=loaded), OURS) == "libcurl in it reads no variable"
    assert not why_not(process(name, GIVEN, loaded=frozenset({"libc.so.6", "libssl.so.3"})), OURS)


def test_a_go_program_may_have_any_name() -> None:
    for name in ("curl", "terraform-provider-github_v6.2", "java"):
        found = process(name, GIVEN, "--cacert", THEIRS, go=True)
        assert (found.program, why_not(found, OURS)) == (Program.GO, "")


URL = "https://api.github.com/rate_limit"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cacert", THEIRS],
        ["--cac", THEIRS],
        ["--capath", "/mine"],
        ["--ca-native"],
        ["--pinnedpubkey", "sha256//x"],
        ["--pi", "sha256//x"],
        ["--cert-status"],
        ["--cert-s"],
        ["--crlfile", THEIRS],
        ["--config", "mine"],
        ["--conf", "mine"],
        ["-K", "mine"],
        ["-Kmine"],
        ["-sSfK", "mine"],
        ["--doh-url", "https://dns.example"],
        ["--ech", "hard"],
    ],
)
def test_a_curl_that_names_certificates_is_passed_by(arguments: list[str]) -> None:
    assert why_not(process("curl", GIVEN, *arguments, URL), OURS) == "it names certificates of its own"
    text = " ".join(arguments)
    for line in (text, f"# mine\n  {text}\n", f'url = "{URL}"\n{text.removeprefix("--").replace(" ", " = ")}'):
        assert why_not(process("curl", GIVEN, URL, own_files=(line,)), OURS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-fsSL", "-o", "capture.json"],
        ["-o", "config.json"],
        ["-d", "ca=K"],
        ["--create-dirs", "--compressed", "--retry", "3", "--connect-timeout", "5"],
        ["-k"],
        ["--cert", "client.pem"],
        ["-H", "X-Key: K", "--continue-at", "-"],
    ],
)
def test_other_options_of_curl_do_not_matter(arguments: list[str]) -> None:
    quiet = ("-s\n# cacert is not set\nuser-agent = x\n",)
    assert not why_not(process("curl", GIVEN, *arguments, URL, own_files=quiet), OURS)


def test_of_other_programs_arguments_do_not_count() -> None:
    assert not why_not(process("node", GIVEN, "index.js", "--cacert", THEIRS), OURS)
