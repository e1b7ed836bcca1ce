"""Check 12: a node that this user cannot use, or that clients are not led to."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from p2pcache.doctor.clients_configured import EXPORT, LEAVE, START, examine, of_gh, of_port, of_socket
from p2pcache.doctor.finding import CheckVerdict, NotApplicableError
from p2pcache.runner.job import with_socket
from tests.support.http_service import http_service
from tests.support.patients import fake_node, patient


@pytest.fixture
def gh(tmp_path: Path) -> dict[str, str]:
    """The variables of a shell that has gh, with a configuration of its own."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "config").mkdir()
    return {"PATH": str(program.parent), "GH_CONFIG_DIR": str(tmp_path / "config")}


def lead(gh: dict[str, str], path: Path) -> None:
    (Path(gh["GH_CONFIG_DIR"]) / "config.yml").write_text(with_socket("editor: vi\n", str(path)))


def test_without_a_node_it_does_not_apply(tmp_path: Path) -> None:
    with pytest.raises(NotApplicableError, match="p2pcache up"):
        list(examine(patient(tmp_path)))


def test_gh_that_is_led_nowhere_is_a_failure(tmp_path: Path, gh: dict[str, str]) -> None:
    lead(gh, tmp_path / "gone.sock")
    (finding,) = examine(patient(tmp_path, **gh))
    assert (finding.verdict, finding.advice) == (CheckVerdict.FAIL, LEAVE)
    assert "gone.sock" in finding.found


def test_a_shell_that_knows_the_node_passes(tmp_path: Path, gh: dict[str, str]) -> None:
    with fake_node(tmp_path / "node.sock") as node:
        lead(gh, node.path)
        sock, port, led = examine(patient(tmp_path, node=node.path, **gh))
    assert sock.verdict is led.verdict is CheckVerdict.PASS
    assert (port.verdict, port.advice) == (CheckVerdict.WARN, EXPORT)


def test_another_node_that_is_exported_is_asked_too(tmp_path: Path) -> None:
    with fake_node(tmp_path / "node.sock") as node:
        exported = tmp_path / "other.sock"
        _, other, *_ = examine(patient(tmp_path, node=node.path, P2PCACHE_SOCKET=str(exported)))
    assert other.verdict is CheckVerdict.FAIL
    assert str(exported) in other.found


def test_a_socket_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    first, *_ = examine(patient(tmp_path, P2PCACHE_SOCKET=str(tmp_path / "gone.sock")))
    assert (first.verdict, first.advice) == (CheckVerdict.FAIL, START)
    assert "no socket is there" in first.found


def test_a_socket_of_a_dead_node_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    finding = of_socket(path, 1.0)
    assert (finding.verdict, finding.advice) == (CheckVerdict.FAIL, START)
    assert "nobody listens there any more" in finding.found


def test_a_socket_that_this_user_may_not_use_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    finding = of_socket(tmp_path / "node.sock", 1.0)
    assert finding.verdict is CheckVerdict.FAIL
    assert f"uid {os.geteuid()}" in finding.found
    assert "--socket" in finding.advice


def test_a_socket_of_something_else_is_a_failure(tmp_path: Path) -> None:
    with fake_node(tmp_path / "node.sock", healthz=404) as node:
        finding = of_socket(node.path, 5.0)
    assert (finding.verdict, finding.advice) == (CheckVerdict.FAIL, START)
    assert "status 404" in finding.found


async def test_a_port_is_asked(tmp_path: Path) -> None:
    async with http_service({"/-/healthz": b'{"status": "ok"}', "/": b""}) as service:
        finding = await asyncio.to_thread(of_port, service.url, 5.0)
    assert (finding.verdict, finding.found) == (CheckVerdict.PASS, f"the node answers at {service.url}: ok")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nowhere", "http://127.0.0.1:x"])
def test_a_port_that_does_not_answer_is_a_failure(url: str) -> None:
    finding = of_port(url, 1.0)
    assert (finding.verdict, finding.advice) == (CheckVerdict.FAIL, EXPORT)
    assert url in finding.found


def test_gh_elsewhere_is_a_warning(tmp_path: Path, gh: dict[str, str]) -> None:
    finding = of_gh(gh, tmp_path / "node.sock")
    assert (finding.verdict, finding.advice) == (CheckVerdict.WARN, EXPORT)
    lead(gh, tmp_path / "other.sock")
    finding = of_gh(gh, tmp_path / "node.sock")
    assert (finding.verdict, finding.advice) == (CheckVerdict.WARN, EXPORT)
    assert "other.sock" in finding.found


def test_without_gh_it_does_not_matter(tmp_path: Path) -> None:
    assert of_gh({"PATH": str(tmp_path)}, tmp_path / "node.sock").verdict is CheckVerdict.SKIP
