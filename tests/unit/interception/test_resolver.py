"""Where GitHub really is, although the hosts file has it here: asked of a name server in the test."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from p2pcache.interception import hosts_file, resolver
from p2pcache.interception.hosts_file import Led
from p2pcache.interception.resolver import PastHostsFile, RealAddresses, name_servers, real_addresses
from tests.support.name_server import NameServer, name_server

API = "api.github.com"
REAL = ["192.0.2.5", "2001:db8::5"]
SEEN = ("192.0.2.77", "127.0.1.1", "::1", "nonsense")


async def asked(server: NameServer, seen: tuple[str, ...] = SEEN, seconds: float = 20.0) -> list[str]:
    return await real_addresses(API, seen, ["127.0.0.1"], port=server.port, seconds=seconds)


async def test_the_name_server_counts_and_both_kinds_are_asked_for() -> None:
    async with name_server({API: REAL}) as server:
        assert await asked(server) == REAL
        assert sorted(server.asked) == [(API, "A"), (API, "AAAA")]


@pytest.mark.parametrize(
    "addresses",
    [{}, {API: []}, {API: ["127.0.0.9", "::1"]}, {API: ["0.0.0.0"]}],
    ids=["no such name", "no address", "this machine's", "none"],
)
async def test_where_it_knows_no_other_machine_what_was_seen_before_counts(addresses: dict[str, list[str]]) -> None:
    async with name_server(addresses) as server:
        assert await asked(server) == ["192.0.2.77"]
        assert await asked(server, ()) == []


async def test_this_machines_addresses_are_left_out() -> None:
    async with name_server({API: ["127.0.0.9", *REAL]}) as server:
        assert await asked(server) == REAL


async def test_a_silent_server_is_waited_for_only_so_long() -> None:
    async with name_server({API: REAL}, silent=True) as server:
        assert await asked(server, seconds=0.2) == ["192.0.2.77"]
        assert server.asked


@pytest.mark.parametrize("servers", [[], ["nonsense"], ["127.0.0.1"]])
async def test_without_a_server_what_was_seen_before_counts(servers: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert await real_addresses(API, SEEN, servers, port=port, seconds=0.5) == ["192.0.2.77"]


async def test_there_is_a_bound_on_addresses() -> None:
    async with name_server({API: [f"192.0.2.{number}" for number in range(50)]}) as server:
        assert len(await asked(server)) == resolver.MOST_ADDRESSES


STUB = "# made by systemd-resolved\nnameserver 127.0.0.53\noptions edns0\nsearch x\n"


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 192.0.2.1\nnameserver 2001:db8::1\n", ["192.0.2.1", "2001:db8::1"]),
        ("  nameserver\t192.0.2.1 # x\n;nameserver 192.0.2.2\n", ["192.0.2.1"]),
        ("nameserver fe80::1%eth0\nnameserver nonsense\nnameserver\n", ["fe80::1%eth0"]),
        (STUB, ["192.0.2.53"]),
        ("nameserver 127.0.0.54\nnameserver 192.0.2.9", ["192.0.2.53"]),
        ("nameserver 127.0.0.11\n", ["127.0.0.11"]),
        ("", []),
    ],
)
def test_systemds_own_address_is_replaced_by_the_servers_behind_it(
    tmp_path: Path, text: str, servers: list[str]
) -> None:
    usual, behind = tmp_path / "resolv.conf", tmp_path / "behind"
    usual.write_text(text)
    behind.write_text("nameserver 192.0.2.53\nnameserver 127.0.0.53\n")
    assert name_servers(usual, behind) == servers
    assert name_servers(tmp_path / "gone", behind) == []


async def test_addresses_are_asked_for_once_in_a_while_and_by_one_at_a_time() -> None:
    asked_for = []

    async def find(name: str, seen: tuple[str, ...]) -> list[str]:
        asked_for.append((name, seen))
        await asyncio.sleep(0)
        return REAL if len(asked_for) > 1 else []

    addresses = RealAddresses(API, SEEN, find)
    assert await addresses() == [], "what was not found is asked for again"
    assert await asyncio.gather(*(addresses() for _ in range(5))) == [REAL] * 5
    assert asked_for == [(API, SEEN)] * 2


class TestPastTheHostsFile:
    @pytest.fixture
    def hosts(self, tmp_path: Path) -> Path:
        path = tmp_path / "hosts"
        path.write_text("")
        hosts_file.lead([Led(API, "127.0.0.9", hosts_file.new_owner(), ("192.0.2.77",))], path)
        return path

    async def test_a_name_that_is_led_here_is_where_it_really_is(self, hosts: Path) -> None:
        async def find(name: str, seen: tuple[str, ...]) -> list[str]:
            assert (name, seen) == ("API.github.com", ("192.0.2.77",))
            return REAL

        past = PastHostsFile(hosts, find)
        for family, found in ((socket.AF_UNSPEC, REAL), (socket.AF_INET, REAL[:1]), (socket.AF_INET6, REAL[1:])):
            resolved = await past.resolve("API.github.com", 443, family)
            assert [each["host"] for each in resolved] == found
            assert {(each["hostname"], each["port"]) for each in resolved} == {("API.github.com", 443)}
        await past.close()

    async def test_one_that_is_nowhere_is_an_error_with_its_name(self, hosts: Path) -> None:
        async def find(_name: str, _seen: tuple[str, ...]) -> list[str]:
            return []

        past = PastHostsFile(hosts, find)
        with pytest.raises(OSError, match="is led to this machine by p2pcache"):
            await past.resolve(API, 443)
        await past.close()

    async def test_all_others_are_the_systems(self, hosts: Path) -> None:
        async def find(_name: str, _seen: tuple[str, ...]) -> list[str]:
            raise AssertionError

        past = PastHostsFile(hosts, find)
        assert [each["host"] for each in await past.resolve("localhost", 80, socket.AF_INET)] == ["127.0.0.1"]
        await past.close()
