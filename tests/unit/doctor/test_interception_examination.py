"""Part of check 12: lines of ours in a hosts file, with and without somebody where they lead."""

import contextlib
import datetime
import shlex
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.doctor import clients_configured, clock_skew, github_api
from p2pcache.doctor.clients_configured import examine
from p2pcache.doctor.finding import CheckFinding, CheckVerdict
from p2pcache.doctor.interception_examination import KEEP, VARIABLES, of_interception, removal
from p2pcache.interception import certificate, hosts_file, resolver, trust_files
from p2pcache.interception.hosts_file import Led
from tests.support.http_service import http_service
from tests.support.patients import findings, patient
from tests.support.world_machine import Authority

PASS, WARN, FAIL = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL
NAMES = ("api.github.com", "uploads.github.com")
HOUR = datetime.timedelta(hours=1)
SECONDS = 10.0
REMAINS = "127.0.0.1 localhost\n::1 localhost ip6-localhost"


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(REMAINS)
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def listener(context: ssl.SSLContext | None) -> Iterator[tuple[int, list[bytes]]]:
    """Answer connections, with TLS where there is a context; the port, and what was received."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        if context:
                            with context.wrap_socket(connection, server_side=True) as tls:
                                received.append(tls.recv(1 << 12))
                                tls.unwrap()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], received
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS)


@contextlib.contextmanager
def answered(tmp_path: Path) -> Iterator[tuple[int, dict[str, str], list[bytes]]]:
    """What an interceptor has: the port of a listener with our certificate, and variables that name it."""
    signed, key = certificate.issue(NAMES, HOUR)
    variables = trust_files.write(tmp_path / "tls", signed, {}).variables
    with listener(certificate.context(signed, key)) as (port, received):
        yield port, dict(variables), received


def lead(hosts: Path, owner: str = "p2pcache-1-ab") -> None:
    hosts_file.lead([Led(name, "127.0.0.1", owner, ("192.0.2.1",)) for name in NAMES], hosts)


def one(environ: dict[str, str], hosts: Path, port: int) -> CheckFinding:
    (finding,) = of_interception(environ, SECONDS, hosts, port)
    return finding


def test_without_a_line_nothing_is_said(hosts: Path) -> None:
    assert list(of_interception({}, SECONDS, hosts)) == []
    assert list(of_interception({}, SECONDS, hosts.with_name("gone"))) == []


def test_a_line_that_leads_to_nobody_is_a_failure_with_the_command_that_removes_it(hosts: Path) -> None:
    lead(hosts)
    finding = one({}, hosts, free_port())
    assert (finding.verdict, "api.github.com, uploads.github.com lead to 127.0.0.1" in finding.found) == (FAIL, True)
    command = shlex.split(finding.advice.partition("with: ")[2])
    subprocess.run(command, check=True, timeout=SECONDS, capture_output=True)
    assert hosts.read_text().splitlines() == REMAINS.splitlines()


def test_only_lines_that_lead_to_nobody_are_removed(tmp_path: Path, hosts: Path) -> None:
    with answered(tmp_path) as (port, variables, _):
        lead(hosts)
        hosts_file.lead([Led("api.example.ghe.com", "127.0.0.77", "p2pcache-2-cd", ())], hosts)
        alive, dead = of_interception(variables, SECONDS, hosts, port)
        assert (alive.verdict, dead.verdict) == (PASS, FAIL)
        subprocess.run(shlex.split(removal("p2pcache-2-cd", hosts)), check=True, timeout=SECONDS)
        assert one(variables, hosts, port) == alive


def test_a_person_is_asked_for_a_password_where_it_takes_one(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert removal("p2pcache-1-ab", hosts).startswith("sudo /")


def test_variables_that_name_the_certificate_which_is_shown_pass(tmp_path: Path, hosts: Path) -> None:
    lead(hosts)
    with answered(tmp_path) as (port, variables, received):
        finding = one(variables, hosts, port)
    assert finding.verdict is PASS
    assert all(name in finding.found for name in ("NODE_EXTRA_CA_CERTS", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"))
    assert received == [b"\r\n"] * len(NAMES), "no request; without a byte it would count as distrust"


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("NODE_EXTRA_CA_CERTS", "", "is not set"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", "names /nowhere/ca.pem, which is not there"),
        ("REQUESTS_CA_BUNDLE", "OTHER", "does not name the certificate"),
        ("SSL_CERT_DIR", "/nowhere:/nowhere/either", "is not there"),
        ("SSL_CERT_DIR", "FOLDER", "does not name the certificate"),
        ("SSL_CERT_FILE", "OTHER", "does not name the certificate"),
    ],
)
def test_a_variable_that_does_not_is_a_warning_with_its_name(
    tmp_path: Path, hosts: Path, variable: str, value: str, reason: str
) -> None:
    lead(hosts)
    (tmp_path / "other.pem").write_bytes(certificate.issue(NAMES, HOUR)[0])
    named = {"OTHER": str(tmp_path / "other.pem"), "FOLDER": str(tmp_path)}.get(value, value)
    with answered(tmp_path) as (port, variables, _):
        finding = one({**variables, variable: named}, hosts, port)
    assert (finding.verdict, finding.advice) == (WARN, KEEP)
    assert f"{variable} " in finding.found
    assert reason in finding.found
    assert all(f"{name} " not in finding.found for name in VARIABLES if name != variable)


def test_one_that_is_passed_by_gets_the_variable_that_is_missing_or_where_the_reason_is(
    tmp_path: Path, hosts: Path
) -> None:
    lead(hosts)
    variables = dict(trust_files.write(tmp_path / "tls", certificate.issue(NAMES, HOUR)[0], {}).variables)
    github = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    github.load_cert_chain(*Authority().issue(tmp_path, NAMES))
    with listener(github) as (port, _):
        whole = one(variables, hosts, port)
        bare = one({}, hosts, port)
    assert (whole.verdict, "counts.json" in whole.advice) == (WARN, True)
    assert (bare.verdict, "SSL_CERT_DIR is not set" in bare.found) == (WARN, True)


def test_what_speaks_no_tls_is_a_failure(hosts: Path) -> None:
    lead(hosts)
    with listener(None) as (port, _):
        finding = one({}, hosts, port)
    assert (finding.verdict, "nobody answers" in finding.found) == (FAIL, True)


def test_a_user_that_can_start_no_process_is_told_nothing_false(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(hosts)
    monkeypatch.setattr(sys, "executable", str(hosts))  # a file that nobody can run
    finding = one({}, hosts, free_port())
    assert (finding.verdict, "Permission denied" in finding.found) == (CheckVerdict.SKIP, True)


def test_the_check_says_so_where_no_node_runs_too(tmp_path: Path, hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(hosts)
    port = free_port()
    monkeypatch.setattr(clients_configured, "of_interception", lambda *_: of_interception({}, SECONDS, hosts, port))
    (finding,) = examine(patient(tmp_path))
    assert finding.verdict is FAIL


@pytest.mark.parametrize("examine", [github_api.examine, clock_skew.examine], ids=["GitHub", "clock"])
async def test_the_doctors_own_connections_go_past_such_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examine: Any
) -> None:
    name = "api.github.example"
    lines = [Led(name, "127.0.0.77", "p2pcache-1-ab", ("192.0.2.1",))]

    async def real(asked: str, seen: tuple[str, ...]) -> list[str]:
        return ["127.0.0.1"] if (asked, seen) == (name, ("192.0.2.1",)) else []

    monkeypatch.setattr(hosts_file, "led", lambda *_: lines)
    monkeypatch.setattr(resolver, "real_addresses", real)
    async with http_service({"/rate_limit": b"{}"}) as service:
        upstream = service.url.replace("127.0.0.1", name)
        found = await findings(examine, patient(tmp_path, {"upstream": upstream}))
    assert [asked.path for asked in service.asked] == ["/rate_limit"], found
