"""Check 10 of the doctor over real daemons: what one does, who else reaches it, and each thing that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2pcache.doctor import ipfs_examination
from p2pcache.doctor.finding import CheckFinding, CheckVerdict
from p2pcache.doctor.ipfs_examination import examine
from tests.support.http_service import Asked, http_service
from tests.support.ipfs import Daemon
from tests.support.patients import findings, patient

PASS, WARN, FAIL, SKIP = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.SKIP
TOKEN = "t0ken-of-the-rpc"
PATHS = ["/api/v0/block", "/api/v0/name", "/api/v0/pin", "/api/v0/config/show"]


async def found(directory: Path, api: str, **variables: str) -> list[CheckFinding]:
    found = await findings(examine, patient(directory, {}, CACHE_IPFS_API=api, CACHE_BACKENDS="ipfs", **variables))
    assert TOKEN not in repr(found)
    return found


def about(found: list[CheckFinding], words: str) -> CheckFinding:
    matching = [finding for finding in found if words in finding.found]
    assert matching, found
    return matching[0]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has no address beyond the loopback's."""
    monkeypatch.setattr(ipfs_examination, "_own_addresses", lambda: ())


@pytest.mark.needs("kubo")
@pytest.mark.timeout(120)
async def test_a_private_daemon(daemon: Daemon, tmp_path: Path) -> None:
    pinned = daemon.pins()
    seen = await found(tmp_path, daemon.api)
    assert about(seen, "Kubo 0.43").found.endswith("connected to 0 other daemons")
    assert about(seen, "no other address of this machine").verdict is PASS
    assert about(seen, "asks no public network").verdict is PASS
    gc = about(seen, "garbage collection is off")
    assert (gc.verdict, "MB of 10,000.0 MB" in gc.found, "--enable-gc" in gc.advice) == (WARN, True, True)
    assert about(seen, "a record was put in").verdict is PASS
    assert about(seen, "a block was put in").verdict is PASS
    assert daemon.pins() == pinned


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon at all addresses, on the public network by its configuration, which asks for a token."""
    rules = {"p2pcache": {"AuthSecret": f"bearer:{TOKEN}", "AllowedPaths": PATHS}}
    daemon = Daemon(
        tmp_path_factory.mktemp("guarded"),
        API__Authorizations=rules,
        Addresses__API="/ip4/0.0.0.0/tcp/0",
        Routing__DelegatedRouters=["https://routers.invalid"],
    )
    yield daemon
    daemon.kill()


@pytest.mark.needs("kubo")
@pytest.mark.timeout(120)
async def test_a_daemon_with_a_token_and_a_public_configuration(guarded: Daemon, tmp_path: Path) -> None:
    port = guarded.api.rpartition(":")[2]
    seen = await found(tmp_path, f"http://127.0.0.1:{port}", CACHE_IPFS_TOKEN=TOKEN, CACHE_IPFS_PIN_SERVICE="nosuch")
    assert about(seen, "no other address of this machine").verdict is PASS
    assert about(seen, "the number of its peers is not shown").verdict is PASS
    public = about(seen, "asks public routers")
    assert (public.verdict, "docs/ipfs.md#a-daemon" in public.advice) == (WARN, True)
    assert about(seen, "the size of the repository is not shown").verdict is WARN
    assert about(seen, "a record was put in").verdict is PASS
    pins = about(seen, "knows no pinning service nosuch (it knows none)")
    assert (pins.verdict, "ipfs pin remote service add nosuch" in pins.advice) == (FAIL, True)
    refused = about(await found(tmp_path, f"http://127.0.0.1:{port}"), "it refuses /version")
    assert refused.verdict is FAIL


@pytest.mark.needs("kubo")
@pytest.mark.timeout(120)
async def test_an_rpc_that_others_reach_without_a_token(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loopback's second address stands for one of the network: an open RPC is not put there for a test.
    port = daemon.api.rpartition(":")[2]
    monkeypatch.setattr(ipfs_examination, "_beyond_loopback", lambda api: [f"http://localhost:{port}"])
    exposed = about(await found(tmp_path, daemon.api), "answers without a token")
    assert (exposed.verdict, f"http://localhost:{port}" in exposed.found) == (FAIL, True)
    assert "API.Authorizations" in exposed.advice


def test_who_is_beyond_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipfs_examination, "_own_addresses", lambda: ["192.0.2.2", "172.17.0.1"])
    beyond = ipfs_examination._beyond_loopback
    assert beyond("http://127.0.0.1:5001") == ["http://192.0.2.2:5001", "http://172.17.0.1:5001"]
    assert beyond("http://localhost:5001") == ["http://192.0.2.2:5001", "http://172.17.0.1:5001"]
    assert beyond("http://kubo:5001") == ["http://kubo:5001"]
    assert not any(each.startswith("127.") for each in ipfs_examination._own_addresses())


def shown(**changes: object) -> dict[str, object]:
    """The answers of a private daemon that collects garbage, but for `changes`."""
    base: dict[str, object] = {
        "/api/v0/version": b'{"Version": "0.43.0"}',
        "/api/v0/config/show": b'{"Bootstrap": []}',
        "/api/v0/swarm/peers": b'{"Peers": [{}, {}]}',
        "/api/v0/repo/stat": b'{"RepoSize": 9500000, "StorageMax": 10000000}',
        "/debug/vars": json.dumps({"cmdline": ["ipfs", "daemon", "--enable-gc"], "memstats": {}}).encode(),
        "/api/v0/name/put": b"",
        "/api/v0/block/put": b"{}",
    }
    return base | {f"/{path.replace('__', '/')}": answer for path, answer in changes.items()}


async def faulty(directory: Path, answers: dict[str, object], **variables: str) -> list[CheckFinding]:
    async with http_service(answers) as service:
        return await found(directory, service.url, **variables)


@pytest.mark.usefixtures("elsewhere")
async def test_a_repository_that_collects_may_be_full(tmp_path: Path) -> None:
    seen = await faulty(tmp_path, shown())
    full = about(seen, "garbage collection is on")
    assert (full.verdict, "9.5 MB of 10.0 MB" in full.found) == (PASS, True)
    assert "connected to 2 other daemons" in seen[0].found


@pytest.mark.usefixtures("elsewhere")
async def test_a_text_of_the_daemons_own_choice_is_not_printed(tmp_path: Path) -> None:
    seen = await faulty(tmp_path, shown(api__v0__version=b'{"Version": "::error::\\u001b[31m"}'))
    assert seen[0].found.startswith("ipfs: Kubo (not shown) at ")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("changes", "said", "verdict", "advice"),
    [
        (
            {"debug__vars": (404, b"")},
            "9.5 MB of 10.0 MB; whether it collects garbage is not shown",
            WARN,
            "StorageMax",
        ),
        ({"debug__vars": b"{}", "api__v0__repo__stat": b"[]"}, "the size of the repository is not shown", SKIP, ""),
        (
            {"api__v0__name__get": (500, b'{"Message": "not found"}')},
            "a record that was put is not read",
            FAIL,
            "clock",
        ),
        ({"api__v0__name__get": b"another's record"}, "a record that was put is not read", FAIL, "clock"),
        (
            {"api__v0__name__put": (500, b'{"Message": "existing IPNS record has sequence"}')},
            "refuses a record as superseded",
            FAIL,
            "docs/ipfs.md",
        ),
        ({"api__v0__name__put": (500, b"{}")}, "an error in answer to /name/put", FAIL, "docs/ipfs.md"),
        ({"api__v0__version": (404, b"")}, "it is not the RPC of Kubo", FAIL, "docs/ipfs.md"),
        ({"api__v0__version": b"no JSON"}, "its answer to /version is malformed", FAIL, "docs/ipfs.md"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) > 20 else "",
)
async def test_a_daemon_that_does_not_do_it(
    tmp_path: Path, changes: dict[str, object], said: str, verdict: CheckVerdict, advice: str
) -> None:
    finding = about(await faulty(tmp_path, shown(**changes)), said)
    assert (finding.verdict, advice in finding.advice) == (verdict, True), finding


def content(asked: Asked) -> bytes:
    """The file of an upload."""
    rest = asked.body.partition(b"\r\n\r\n")[2]
    return rest[: rest.rindex(b"\r\n--")]


def kept(files: list[bytes], answer: bytes) -> Callable[[Asked], bytes]:
    """Keep what is uploaded, and answer this."""

    def keep(asked: Asked) -> bytes:
        files.append(content(asked))
        return answer

    return keep


@pytest.mark.usefixtures("elsewhere")
async def test_a_block_that_is_not_read_again(tmp_path: Path) -> None:
    records: list[bytes] = []
    blocks: list[bytes] = []
    answers = shown(
        api__v0__name__put=kept(records, b""),
        api__v0__name__get=lambda asked: records[-1],
    )
    answers |= {"/api/v0/block/get": b"another", "/api/v0/pin/remote/service/ls": (403, b"")}
    seen = await faulty(tmp_path, answers, CACHE_IPFS_PIN_SERVICE="named")
    block = about(seen, "a block that was put is not read again")
    assert (block.verdict, "disk" in block.advice) == (FAIL, True)
    assert about(seen, "the pinning services of the daemon are not shown").verdict is WARN
    answers |= {
        "/api/v0/block/put": kept(blocks, b"{}"),
        "/api/v0/block/get": lambda asked: blocks[-1],
        "/api/v0/block/rm": b"{}",
        "/api/v0/pin/remote/service/ls": b'{"RemoteServices": [{"Service": "named", "ApiEndpoint": "x"}]}',
    }
    async with http_service(answers) as service:
        seen = await found(tmp_path, service.url, CACHE_IPFS_PIN_SERVICE="named")
    assert about(seen, "knows the pinning service named").verdict is PASS
    assert about(seen, "read in").verdict is PASS


async def test_gateways_without_a_daemon(tmp_path: Path) -> None:
    answers: dict[str, object] = {"/ipfs/bafkqaaa": b""}
    async with (
        http_service(answers) as good,
        http_service({"/ipfs/bafkqaaa": b"<html>"}) as page,
        http_service({"/ipfs/bafkqaaa": (301, b"")}) as moved,
    ):
        urls = ",".join((good.url, page.url, moved.url))
        seen = await found(tmp_path, "", CACHE_IPFS_GATEWAY=urls)
    assert [finding.verdict for finding in seen] == [PASS, FAIL, FAIL]
    assert "answers in" in seen[0].found
    assert "does not answer as a trustless gateway" in seen[1].found
    assert "it redirects" in seen[2].found


async def test_no_daemon_at_all(tmp_path: Path) -> None:
    (finding,) = await found(tmp_path, "http://127.0.0.1:1")
    assert (finding.verdict, "the daemon at http://127.0.0.1:1: it cannot be reached" in finding.found) == (FAIL, True)
