"""What an operator does to a hub that members use: rotate, restore, upgrade, run two (docs/deploying.md)."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import signal
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

import p2pcache
from p2pcache.swarm.protocol.frames import MINOR
from tests.support.fleet import PATIENT, Fleet, Member, until
from tests.support.processes import GitHub, Node, job, running

SHARED = ("peer", "disk")
"""Where an answer of another node comes from: a hub may have fetched it to keep it."""


def lines(*secret: str) -> str:
    return "".join(f"{each}\n" for each in secret)


async def reload(hub: Member, file: Path, *secret: str) -> None:
    """Write the secret's file and have the hub read it."""
    before = hub.log.count("the secret was read again")
    await asyncio.to_thread(file.write_text, lines(*secret))
    hub.kill(signal.SIGHUP)
    await until(lambda: hub.log.count("the secret was read again") > before, "a reload", log=lambda: hub.log)


async def test_a_secret_is_rotated_while_members_come_go_and_stay(
    patient: Fleet, github: GitHub, tokens: list[str], repository: str, tmp_path: Path
) -> None:
    """The hub refuses nobody at any step, no link breaks, and what was paid for once is there for the last."""
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    file = tmp_path / "secret"
    file.write_text(lines(old))
    hub = await patient.hub(token=tokens[0], CACHE_SECRET="", CACHE_SECRET_FILE=str(file))
    members: list[Member] = []
    github.order("reset-calls")
    target = f"/repos/{repository}/labels"

    async def join(*secret: str) -> Member:
        number = len(members)
        (member,) = await patient.joined(hub, tokens[number + 1], CACHE_SECRET=lines(*secret))
        members.append(member)
        return member

    async def same(*askers: Member) -> None:
        """All askers get the answer, which was paid for once."""
        for member in askers:
            assert (await member.get(target)).status == 200
        assert github.charged() == 1

    first = await join(old)
    await same(first, hub)
    await reload(hub, file, old, new)
    await same(hub, await join(old, new))
    second = await join(new, old)
    await same(second, hub, first)
    await reload(hub, file, new, old)
    await same(hub, await join(new), second, first)
    await reload(hub, file, new)
    await same(hub, await join(new), second)

    for member in members:
        assert hub.ready["peer_id"] in await member.peers(), "no link was lost"
    rows = await hub.control("peers")
    assert [row["reason"] for row in rows if row["state"] in ("refused", "dropped")] == []
    late = patient.start("late", "--bootstrap", hub.ready["multiaddrs"][0], token=tokens[-1], CACHE_SECRET=old)
    await late.until_ready()
    await until(lambda: "the swarm secrets differ" in late.log, "the old secret refused", log=lambda: late.log)


async def test_a_hub_is_restored_from_its_backup(
    patient: Fleet, github: GitHub, tokens: list[str], repository: str, tmp_path: Path
) -> None:
    hub = await patient.hub(token=tokens[0], CACHE_SECRET="")
    target = f"/repos/{repository}/labels"
    right = (await hub.get(target)).body
    before = hub.ready
    hub.kill(signal.SIGTERM)
    await until(lambda: hub.over, "its end")
    backup = tmp_path / "backup"
    backup.mkdir(mode=0o700)
    for name in ("identity.key", "secret", "store"):
        kept = hub.home / "store" / name
        assert kept.stat().st_mode & 0o077 == 0, f"{name} is its user's alone"
        shutil.copytree(kept, backup / name) if kept.is_dir() else shutil.copy2(kept, backup / name)
    shutil.rmtree(hub.home)

    github.order("reset-calls")
    listen = before["multiaddrs"][0].partition("/p2p/")[0]
    restored = patient.start("restored", "--hub", "--dir", str(backup), token=tokens[0], listen=listen, CACHE_SECRET="")
    await restored.until_ready()
    assert restored.ready["peer_id"] == before["peer_id"]
    assert restored.ready["multiaddrs"] == before["multiaddrs"], "which names the peer id: members accept no other"
    again = await restored.get(target)
    assert (again.body, again.detail) == (right, "disk")
    secret = (backup / "secret").read_text()
    (member,) = await patient.joined(restored, tokens[1], CACHE_SECRET=secret)
    assert (await member.get(target)).body == right
    assert github.charged() == 0


async def test_one_of_two_hubs_dies_and_comes_back(
    patient: Fleet, github: GitHub, tokens: list[str], repository: str
) -> None:
    """Members name both, and the second hub names the first: what is learned at one is known at the other."""
    first = await patient.hub(token=tokens[0])
    address = first.ready["multiaddrs"][0]
    second = await patient.start("second", "--hub", "--bootstrap", address, token=tokens[1]).until_ready()
    await second.until_connected(first)
    both = ("--bootstrap", address, "--bootstrap", second.ready["multiaddrs"][0])
    one, other = [await patient.start(f"m{n}", *both, token=tokens[2 + n]).until_ready() for n in range(2)]
    for member in (one, other):
        await member.until_connected(first, second)
    github.order("reset-calls")

    async def shared(target: str, *askers: Member) -> None:
        """Asked in turn, GitHub is asked once."""
        bodies = {(await member.get(target)).body for member in askers}
        assert len(bodies) == 1
        assert len(github.calls(target)) == 1

    await shared(f"/repos/{repository}/labels", one, second, other, first)
    first.kill()
    await until(lambda: first.over, "its end")
    while_dead = f"/repos/{repository}/branches"
    await shared(while_dead, other, one, second)
    patient.restart(first, listen=address.partition("/p2p/")[0])
    await first.until_ready()
    await first.until_connected(second, one, other)

    async def learned() -> bool:
        return bool((await second.peers())[first.ready["peer_id"]]["announced"])

    await until(learned, "the first hub's announcements")
    await shared(while_dead, first)
    (late,) = await patient.joined(first, tokens[5])
    await shared(while_dead, late)


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the next release may have it: a higher minor version, and fields that this one does not know."""
    folder = tmp_path_factory.mktemp("newer")
    shutil.copytree(Path(p2pcache.__file__).parent, folder / "p2pcache", ignore=shutil.ignore_patterns("__pycache__"))
    frames = folder / "p2pcache/swarm/protocol/frames.py"
    text = frames.read_text("utf-8")
    for before, after in (
        (f"\nMINOR = {MINOR}\n", f"\nMINOR = {MINOR + 1}\n"),
        ("    hub: bool\n    addresses: Addresses\n", '    hub: bool\n    addresses: Addresses\n    news: str = "x"\n'),
        ("Meta(max_length=HAVE_MAX)]\n", "Meta(max_length=HAVE_MAX)]\n    urgency: int = 7\n"),
        ("    holder: Holder\n\n\nclass Queued(", '    holder: Holder\n    terms: str = "x"\n\n\nclass Queued('),
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    frames.write_text(text, "utf-8")
    config = folder / "p2pcache/swarm/rules/config.py"
    text = config.read_text("utf-8")
    for name, seconds in PATIENT.items():
        text, found = re.subn(rf"\b{name}: float = [0-9.]+$", f"{name}: float = {seconds}", text, flags=re.MULTILINE)
        assert found == 1, name
    config.write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize("upgraded", ["the hub", "a member"])
async def test_an_upgrade_may_take_its_time(
    patient: Fleet, github: GitHub, tokens: list[str], repository: str, newer: Path, tmp_path: Path, upgraded: str
) -> None:
    """Whichever side is upgraded first: two releases on the wire share entries and leases, each way."""
    secret = secrets.token_hex(32)
    flags = ["--listen", "127.0.0.1:0", "--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--upstream", github.url]
    flags += ["--dir", str(tmp_path / "next/store"), "--socket", str(tmp_path / "next/s")]
    variables = {"CACHE_SECRET": secret, "CACHE_TTL": "600", "PYTHONPATH": str(newer), **job(tokens[1], "octo/app")}

    def upgrade(*more: str) -> AbstractContextManager[dict[str, Any]]:
        return running("p2pcache", "serve", *flags, *more, home=tmp_path / "next", environ=variables)

    with ExitStack() as life:
        if upgraded == "the hub":
            next_release = life.enter_context(upgrade("--hub"))
            this = patient.start(
                "m", "--bootstrap", next_release["multiaddrs"][0], token=tokens[0], CACHE_SECRET=secret
            )
        else:
            this = await patient.hub(token=tokens[0], CACHE_SECRET=secret)
            next_release = life.enter_context(upgrade("--bootstrap", this.ready["multiaddrs"][0]))
        other = Node(
            next_release["api_url"], tmp_path / "next/s", next_release["pid"], next_release["ready_file"], tmp_path
        )
        await until(lambda: other.control("stats")["peers"]["connected"] == 1, "the two together")
        github.order("reset-calls")
        labels, branches = f"/repos/{repository}/labels", f"/repos/{repository}/branches"
        assert (await this.get(labels)).status == 200
        await until(lambda: other.control("peers")[0]["announced"], "what this release announced")
        status, headers, _ = await asyncio.to_thread(other.get, labels, tokens[1])
        assert status == 200
        assert headers["cache-status"].rpartition("=")[2] in SHARED
        before = (await this.control("peers"))[0]["announced"]
        assert (await asyncio.to_thread(other.get, branches, tokens[1]))[0] == 200

        async def announced() -> bool:
            return bool((await this.control("peers"))[0]["announced"] > before)

        await until(announced, "what the next release announced")
        assert (await this.get(branches)).detail in SHARED
        assert len(github.calls(labels)) == len(github.calls(branches)) == 1
