"""`intercept: true` with a hosts file and a port of the test's own: what leads here, and what every failure leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from p2pcache.interception import certificate, counts, hosts_file
from p2pcache.interception.hosts_file import Led
from p2pcache.runner import as_root, intercepted_job, supervisor, watch
from p2pcache.runner.intercepted_job import Intercepted, Interception, begin, end
from p2pcache.runner.supervisor import SupervisorError

NAMES = ("api.github.com", "uploads.github.com")
USUAL = "127.0.0.1 localhost\n"
REAL = "192.0.2.5"
HOSTED = {"RUNNER_ENVIRONMENT": "github-hosted", "PATH": os.environ["PATH"]}


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(USUAL)
    return path


def free_port() -> int:
    with socket.create_server((intercepted_job.ADDRESSES[0], 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def place(tmp_path: Path, hosts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Interception]]:
    monkeypatch.setattr(as_root, "allowed", lambda: True)

    def find(name: str) -> list[str]:
        return [line.address for line in hosts_file.led(hosts) if line.name == name] or [REAL, "127.0.1.1"]

    def made(environ: Mapping[str, str] = HOSTED, upstream: str = "https://api.github.com") -> Interception:
        return Interception(tmp_path / "intercept", tmp_path / "node.sock", upstream, environ, hosts, free_port(), find)

    yield made
    supervisor.stop(tmp_path / "intercept" / "run", 5)


Made = Callable[..., Interception]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """In place of a process: what would have been started."""
    found: list[dict[str, Any]] = []

    def start(command: list[str], _directory: Path, _deadline: float, **more: Any) -> dict[str, Any]:
        found.append({"plan": json.loads(command[-1]), "command": command, **more})
        return {}

    monkeypatch.setattr(supervisor, "start_beside", start)
    return found


def await_(condition: Callable[[], object], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.01)


def answers(place: Interception) -> bool:
    try:
        socket.create_connection((intercepted_job.ADDRESSES[0], place.port), 5).close()
    except OSError:
        return False
    return True


class TestTheProcess:
    def test_it_has_the_names_over_its_death_and_passes_on_after_the_end(self, place: Made, hosts: Path) -> None:
        here = place({**HOSTED, watch.TRACKING: "github_1"})
        found = begin(here)
        assert (found.notice, found.warning) == ("", False)
        assert [(line.name, line.address, line.seen) for line in hosts_file.led(hosts)] == [
            (name, address, (REAL,)) for name, address in zip(NAMES, intercepted_job.ADDRESSES, strict=False)
        ]
        assert set(found.outputs) == {"proxy", "certificate"}
        assert set(found.variables) >= {"NODE_EXTRA_CA_CERTS", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
        state = supervisor.status(here.run)
        assert state
        os.kill(state["node"], signal.SIGKILL)
        assert answers(here), "its listeners are held"
        await_(lambda: (supervisor.status(here.run) or {}).get("restarts") == 1)
        (here.run / "ready.json").unlink()
        await_(lambda: supervisor.ready(here.run))
        assert hosts_file.led(hosts)
        counted = end(here)
        assert counted.over
        assert hosts.read_text() == USUAL
        assert answers(here), "who still has the address is passed on"

    def test_without_a_runner_its_end_leaves_nothing(self, place: Made, hosts: Path) -> None:
        here = place()
        assert begin(here).notice == ""
        state = supervisor.status(here.run)
        assert state
        end(here)
        assert hosts.read_text() == USUAL
        assert not answers(here)
        assert {watch.started_at(state["pid"]), watch.started_at(state["node"])} == {None}

    def test_the_names_go_with_its_supervisor(self, place: Made, hosts: Path) -> None:
        here = place()
        begin(here)
        state = supervisor.status(here.run)
        assert state
        os.kill(state["pid"], signal.SIGKILL)
        await_(lambda: hosts.read_text() == USUAL)
        await_(lambda: watch.started_at(state["node"]) is None)
        assert end(here).over

    def test_one_that_does_not_start_leaves_nothing(
        self, place: Made, hosts: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = place()
        signed, _ = certificate.issue(NAMES, certificate.HOSTED_LIFE)
        _, key = certificate.issue(NAMES, certificate.HOSTED_LIFE)
        monkeypatch.setattr(certificate, "issue", lambda *_: (signed, key))
        found = begin(here)
        assert (found.variables, found.outputs, found.warning) == ({}, {}, True)
        assert "the interceptor cannot be started" in found.notice
        assert found.notice.endswith("clients without a base URL go to GitHub")
        assert hosts.read_text() == USUAL
        assert supervisor.status(here.run) is None
        assert not answers(here)


Started = list[dict[str, Any]]


def not_led(found: Intercepted, started: Started, hosts: Path) -> str:
    """See that names do not lead here, but a step may use the outputs; return why."""
    assert found.variables == {}
    assert set(found.outputs) == {"proxy", "certificate"}
    (start,) = started
    assert set(start["plan"]["names"]) == set(NAMES)
    assert hosts_file.led(hosts) == []
    assert found.notice.startswith("intercept: true: api.github.com does not lead to the cache (")
    return found.notice


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "other jobs share this machine's hosts file"),
        ({"RUNNER_ENVIRONMENT": "self-hosted"}, "other jobs share this machine's hosts file"),
        ({"JOB_CONTAINER": "x"}, "this job's container does not run as root"),
    ],
)
def test_where_names_may_not_lead_here_a_notice_says_why(
    place: Made, hosts: Path, started: Started, environ: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = begin(place(environ))
    assert reason in not_led(found, started, hosts)
    assert not found.warning
    assert started[0]["at_end"] == ()


def test_without_sudo_a_notice_says_so(
    place: Made, hosts: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place()
    monkeypatch.setattr(as_root, "allowed", lambda: False)
    assert "sudo asks for a password here" in not_led(begin(here), started, hosts)


def test_a_name_that_is_in_the_file_already_stays(place: Made, hosts: Path, started: Started) -> None:
    hosts.write_text("192.0.2.7 uploads.github.com\n")
    assert "has uploads.github.com already" in not_led(begin(place()), started, hosts)
    assert hosts.read_text() == "192.0.2.7 uploads.github.com\n"


def test_a_name_without_an_address_is_not_led(place: Made, hosts: Path, started: Started) -> None:
    here = place()
    lost = Interception(
        here.directory, here.node, here.upstream, here.environ, hosts, here.port, lambda _: ["127.0.0.1"]
    )
    assert "the address of api.github.com is not known here" in not_led(begin(lost), started, hosts)


def test_a_port_that_is_taken_everywhere_is_a_warning(place: Made, hosts: Path, started: Started) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        here = place()
        port = taken.getsockname()[1]
        found = begin(Interception(here.directory, here.node, here.upstream, HOSTED, hosts, port, here.find))
    assert found.warning
    assert f"port {port} cannot be had: Address already in use" in not_led(found, started, hosts)


def test_an_address_that_another_has_is_passed_over(place: Made, hosts: Path, started: Started) -> None:
    here = place()
    with socket.create_server((intercepted_job.ADDRESSES[0], here.port)):
        assert begin(here).notice == ""
    assert [line.address for line in hosts_file.led(hosts)] == list(intercepted_job.ADDRESSES[1:3])
    assert len(started[0]["listeners"]) == 3
    assert "withdraw" in started[0]["at_end"]


def test_a_sudo_that_fails_for_the_port_is_asked_once(
    place: Made, hosts: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def listen(address: str, _port: int) -> socket.socket:
        asked.append(address)
        raise OSError(None, "sudo does not answer")

    monkeypatch.setattr(as_root, "listen", listen)
    assert "sudo does not answer" in not_led(begin(place()), started, hosts)
    assert len(asked) == 1


def test_a_file_that_cannot_be_written_is_a_warning(
    place: Made, hosts: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(as_root, "lead", refuse)
    found = begin(place())
    assert found.warning
    assert "Read-only file system" in not_led(found, started, hosts)


def test_a_file_that_the_system_does_not_read_is_left_as_it_was(place: Made, hosts: Path, started: Started) -> None:
    here = place()
    found = begin(Interception(here.directory, here.node, here.upstream, HOSTED, hosts, here.port, lambda _: [REAL]))
    assert "does not lead here: another program has led it elsewhere" in not_led(found, started, hosts)
    assert hosts.read_text() == USUAL


@pytest.mark.parametrize("error", [SupervisorError("it was not ready"), OSError(28, "No space left on device")])
def test_what_cannot_be_started_is_one_warning(
    place: Made, hosts: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(supervisor, "start_beside", fail)
    found = begin(place())
    assert (found.variables, found.outputs, found.warning) == ({}, {}, True)
    assert hosts.read_text() == USUAL


@pytest.mark.parametrize(
    "upstream", ["https://ghes.example/api/v3", "http://api.github.com", "https://api.github.com:1"]
)
def test_other_servers_are_left_out(place: Made, started: Started, upstream: str) -> None:
    found = begin(place(upstream=upstream))
    assert "is for github.com and *.ghe.com alone" in found.notice
    assert (started, found.variables, found.outputs) == ([], {}, {})


def test_a_tenant_of_ghe_com_has_names_of_its_own() -> None:
    assert intercepted_job.hosts_of("https://api.octo.ghe.com") == ("api.octo.ghe.com", "uploads.octo.ghe.com")


def test_elsewhere_than_on_linux_a_notice_says_so(
    place: Made, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intercepted_job.sys, "platform", "darwin")  # type: ignore[attr-defined]
    assert "needs Linux" in begin(place()).notice
    assert started == []


def test_the_key_is_in_no_word_of_the_command_and_in_no_file(place: Made, started: Started) -> None:
    here = place()
    begin(here)
    (start,) = started
    secrets = [value for value in start["environ"].values() if "PRIVATE KEY" in value]
    assert len(secrets) == 1
    assert "PRIVATE" not in " ".join([*start["command"], *start["at_end"]])
    for path in filter(Path.is_file, here.directory.rglob("*")):
        assert b"PRIVATE" not in path.read_bytes(), path


def test_stale_lines_go_and_live_ones_stay(hosts: Path) -> None:
    live, gone = hosts_file.new_owner(), hosts_file.new_owner()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        lines = [
            Led("live.example", "127.0.0.1", live, ()),
            Led("api.github.com", "127.0.0.99", gone, ()),
            Led("uploads.github.com", "127.0.0.98", gone, ()),
        ]
        hosts_file.lead(lines, hosts)
        assert intercepted_job.remove_stale(hosts, port) == ["api.github.com", "uploads.github.com"]
        assert hosts_file.led(hosts) == lines[:1]
        assert intercepted_job.remove_stale(hosts, port) == []


def test_where_root_is_not_to_be_had_stale_lines_stay(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Led("api.github.com", "127.0.0.99", hosts_file.new_owner(), ())
    hosts_file.lead([line], hosts)

    def refuse(*_: object) -> None:
        raise OSError(None, "sudo: a password is required")

    monkeypatch.setattr(as_root, "withdraw", refuse)
    assert intercepted_job.remove_stale(hosts, 1) == []
    assert hosts_file.led(hosts) == [line]


def test_an_end_without_a_beginning_is_one(place: Made, hosts: Path) -> None:
    for environ in (HOSTED, {**HOSTED, watch.TRACKING: "github_1"}):
        assert end(place(environ)) == counts.Counts()
    assert hosts.read_text() == USUAL


def test_the_end_takes_out_its_own_lines_alone(place: Made, hosts: Path, started: Started) -> None:
    others = Led("api.octo.ghe.com", "127.0.0.99", hosts_file.new_owner(), ())
    here = place({**HOSTED, watch.TRACKING: "github_1"})
    begin(here)
    hosts_file.lead([others], hosts)
    end(here)
    assert hosts_file.led(hosts) == [others]
    assert len(started) == 1
