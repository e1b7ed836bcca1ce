"""Evidence from files as real containers showed them, and from a resolver that answers as Docker's does."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.runner import evidence
from p2pcache.runner.evidence import collect, parse_pointer

MINE = "005436e6b9bc7110e4e0da30e377c10defcda288f910e86b4c74603e1c5db58e"
FILES = {
    "proc/self/mountinfo": (
        "714 711 0:61 / /proc rw - proc proc rw\n"
        f"735 700 8:1 /var/lib/docker/containers/{MINE}/hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw\n"
    ),
    "proc/self/cgroup": f"0::/docker/{MINE}\n",
    "proc/net/route": (
        "Iface\tDestination\tGateway\tFlags\neth0\t000011AC\t00000000\t0001\neth0\t00000000\t010011AC\t0003\n"
    ),
    "proc/net/udp": "  sl  local_address rem_address\n 1: 0100007F:A3C4 00000000:0000 07\n",
    "etc/resolv.conf": "# by Docker\nnameserver 192.0.2.53\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "sys/class/net/nosuch0/device").mkdir(parents=True)
    (tmp_path / "sys/class/net/lo").mkdir()
    return tmp_path


def test_a_container_on_the_bridge(root: Path) -> None:
    seen = collect(root)
    assert (seen.mount_id, seen.cgroup_id, seen.gateway) == (MINE, MINE, "172.17.0.1")
    assert not seen.docker_dns
    assert [(i.name, i.hardware, i.bridge) for i in seen.interfaces] == [("lo", False, False), ("nosuch0", True, False)]
    assert seen.interfaces[0].address == "127.0.0.1/8"
    assert seen.interfaces[1].address == ""


def test_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    seen = collect(tmp_path)
    assert seen.hostname == socket.gethostname()
    assert (seen.mount_id, seen.cgroup_id, seen.interfaces, seen.gateway, seen.docker_dns) == ("", "", (), "", False)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        pytest.param("etc/resolv.conf", "nameserver 127.0.0.11\noptions ndots:0\n", id="resolv.conf"),
        pytest.param("proc/net/udp", "  sl  local\n 7: 0B00007F:8E5A 00000000:0000 07\n", id="its socket"),
    ],
)
def test_dockers_resolver(root: Path, file: str, text: str) -> None:
    (root / file).write_text(text)
    assert collect(root, root / "no.sock").docker_dns


@pytest.mark.parametrize(
    ("cgroup", "found"),
    [
        pytest.param("0::/\n", "", id="private namespace"),
        pytest.param(f"0::/system.slice/docker-{MINE}.scope\n", MINE, id="systemd"),
        pytest.param(f"12:pids:/docker/{MINE}\n0::/docker/{MINE}\n", MINE, id="version 1"),
        pytest.param(f"0::/docker/{'a' * 64}/docker/{MINE}\n", MINE, id="Docker in Docker: the innermost"),
    ],
)
def test_cgroup(root: Path, cgroup: str, found: str) -> None:
    (root / "proc/self/cgroup").write_text(cgroup)
    assert collect(root).cgroup_id == found


QUERY = dns.message.make_query("2.0.17.172.in-addr.arpa", "PTR", id=0x0102)
OTHER = dns.message.make_query("2.0.17.172.in-addr.arpa", "PTR", id=0x7878)


def answer(query: dns.message.Message, rdtype: str, text: str) -> bytes:
    response = dns.message.make_response(query)
    response.answer = [dns.rrset.from_text(query.question[0].name, 600, "IN", rdtype, text)]
    return response.to_wire()


@pytest.mark.parametrize(
    ("packet", "name"),
    [
        pytest.param(answer(QUERY, "PTR", "web.ci_default."), "web.ci_default", id="a name"),
        pytest.param(answer(OTHER, "PTR", "web.ci_default."), "", id="an answer to something else"),
        pytest.param(answer(QUERY, "A", "192.0.2.1"), "", id="an address"),
        pytest.param(dns.message.make_response(QUERY).to_wire(), "", id="no answer in it"),
        pytest.param(QUERY.to_wire(), "", id="the question"),
        pytest.param(b"", "", id="nothing"),
    ],
)
def test_pointer_answers(packet: bytes, name: str) -> None:
    assert parse_pointer(QUERY, packet) == name


@given(st.binary(max_size=80))
def test_no_packet_raises(tail: bytes) -> None:
    head = b"\1\2\x81\x80\0\1\0\1\0\0\0\0"
    parse_pointer(QUERY, head + QUERY.to_wire()[12:] + tail)
    parse_pointer(QUERY, head + tail)


def test_the_resolver_is_asked_for_our_name() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)

        def serve() -> None:
            packet, peer = server.recvfrom(512)
            server.sendto(answer(dns.message.from_wire(packet), "PTR", "runner.github_network_1."), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert evidence._reverse("172.18.0.2", server.getsockname()) == "runner.github_network_1"
        thread.join()


def test_a_resolver_that_is_not_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()
    assert evidence._reverse("172.18.0.2", nobody) == ""


@pytest.mark.parametrize(
    ("body", "project"),
    [
        pytest.param(b'{"Config": {"Labels": {"com.docker.compose.project": "ci"}}}', "ci", id="compose"),
        pytest.param(b'{"Config": {"Labels": null}}', "", id="no labels"),
        pytest.param(b"[]", "", id="nonsense"),
    ],
)
def test_the_engine_knows_the_project(body: bytes, project: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "d.sock"))
        server.listen()

        def serve() -> None:
            client, _ = server.accept()
            with client:
                assert b"/containers/abc/json" in client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        thread = threading.Thread(target=serve)
        thread.start()
        assert evidence._compose_project("abc", tmp_path / "d.sock") == project
        thread.join()
