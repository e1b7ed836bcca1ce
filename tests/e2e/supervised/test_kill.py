"""Clients of a node that is killed, again and again, while they wait for GitHub: none of them notices."""

import contextlib
import http.client
import itertools
import json
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import GitHub, environment

from .conftest import HEADERS, PATIENCE, REPOSITORY, TOKEN, Connect, Supervised, answer, ask, tcp, unix, until

ROUNDS = 7


class Client(threading.Thread):
    """Asks for one thing after another, each new to the cache; remembers what went wrong.

    All clients ask at the same time: when each waits for GitHub, the node may be killed.
    """

    numbers = itertools.count()

    def __init__(self, supervised: Supervised, connect: Connect, together: threading.Barrier, *, keep: bool) -> None:
        super().__init__(daemon=True)
        self.supervised, self.connect, self.together, self.keep = supervised, connect, together, keep
        self.answers = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        with self.connect(self.supervised.node) as connection:
            for _ in range(ROUNDS):
                self.together.wait(PATIENCE)
                try:
                    self.ask(connection)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    self.wrong.append(repr(error))
                self.answers += 1
                if not self.keep:
                    connection.close()

    def ask(self, connection: http.client.HTTPConnection) -> None:
        # GitHub ignores a parameter it does not know, the cache does not: each is a call that takes its time.
        path = f"/repos/{REPOSITORY}/issues?per_page=2&n={next(self.numbers)}"
        connection.request("GET", path, headers=HEADERS)
        self.together.wait(PATIENCE)
        status, _, body = answer(connection)
        if status != 200 or len(body) != 2:
            self.wrong.append(f"{status}: {body}")


def test_no_client_notices_that_its_node_is_killed(supervised: Supervised) -> None:
    kinds = [(tcp, True), (tcp, False), (unix, True), (unix, False)] * 2
    together = threading.Barrier(len(kinds) + 1)
    clients = [Client(supervised, connect, together, keep=keep) for connect, keep in kinds]
    for client in clients:
        client.start()
    for number in range(ROUNDS):
        together.wait(PATIENCE)
        together.wait(PATIENCE)
        if number % 2:
            supervised.kill_with(len(clients))
    for client in clients:
        client.join(PATIENCE)
    assert [client.wrong for client in clients] == [[] for _ in clients]
    assert [client.answers for client in clients] == [ROUNDS for _ in clients]
    assert supervised.state["restarts"] == ROUNDS // 2
    until(lambda: supervised.held() == 0, "the supervisor to let go")


@pytest.mark.parametrize("connect", [tcp, unix], ids=["tcp", "unix"])
def test_a_request_outlives_two_nodes(supervised: Supervised, github: GitHub, connect: Connect) -> None:
    path = f"/repos/{REPOSITORY}/labels"
    github.order("fault", match=f"{path}*", delay=0.5, times=None)
    with connect(supervised.node) as connection:
        connection.request("GET", path, headers=HEADERS)
        supervised.kill_with(1)
        supervised.kill()
        status, _, body = answer(connection)
        assert (status, bool(body)) == (200, True)
        assert ask(connection, f"/repos/{REPOSITORY}")[2]["full_name"] == REPOSITORY  # and it is as good as new


def test_an_idle_connection_is_taken_over(supervised: Supervised) -> None:
    with unix(supervised.node) as connection:
        for _ in range(2):
            assert ask(connection, f"/repos/{REPOSITORY}")[2]["full_name"] == REPOSITORY
            supervised.kill()
        assert ask(connection, f"/repos/{REPOSITORY}", "HEAD")[0] == 200


def test_a_body_that_was_cut_by_the_kill_is_whole_again(supervised: Supervised) -> None:
    query = json.dumps({"query": f'query {{ repository(owner: "octo", name: "app") {{ name }} }} # {"x" * 5000}'})
    head = f"POST /graphql HTTP/1.1\r\nHost: api.github.com\r\nAuthorization: token {TOKEN}\r\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(supervised.node.socket))
        client.sendall(f"{head}Content-Length: {len(query)}\r\nConnection: close\r\n\r\n{query[:100]}".encode())
        supervised.kill_with(1)
        client.sendall(query[100:].encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"name":"app"' in answer.replace(b" ", b"")


def writing(query: str) -> tuple[str, str, str]:
    return "POST", "/graphql", json.dumps({"query": query})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("POST", f"/repos/{REPOSITORY}/issues", '{"title": "once"}', id="rest"),
        pytest.param(*writing("mutation { closeIssue(input: {issueId: 1}) { issue { id } } }"), id="mutation"),
        pytest.param("PATCH", f"/repos/{REPOSITORY}/issues/1", '{"body": "%s"}' % ("x" * 40000), id="large"),
    ],
)
@pytest.mark.parametrize("connect", [tcp, unix], ids=["tcp", "unix"])
def test_a_write_is_not_made_twice(
    supervised: Supervised, github: GitHub, connect: Connect, method: str, path: str, body: str
) -> None:
    github.order("reset-calls")
    github.order("fault", match=f"{method} {path}", stall=True, times=None)
    with connect(supervised.node) as connection:
        connection.request(method, path, body, HEADERS)
        until(lambda: github.calls(path), "the write at GitHub")
        supervised.kill()
        status, _, said = answer(connection)
    assert (status, "look before you repeat it" in said["message"]) == (502, True)
    assert len(github.calls(path)) == 1


def test_a_request_that_kills_every_node_is_given_up(supervised: Supervised, github: GitHub) -> None:
    path = f"/repos/{REPOSITORY}/labels"
    github.order("fault", match=f"{path}*", stall=True, times=None)
    with unix(supervised.node) as connection:
        connection.request("GET", path, headers=HEADERS)
        until(lambda: github.calls(path), "the request at GitHub")
        for _ in range(4):
            supervised.kill()
        status, header, _ = answer(connection)
    assert (status, header("cache-status")) == (502, "p2pcache; fwd=bypass; detail=deadly")


def test_counts_go_on_where_the_node_died(supervised: Supervised) -> None:
    for number in range(3):
        status, _, _ = supervised.node.get(f"/repos/{REPOSITORY}/issues?n={number}", TOKEN)
        assert status == 200
    until(lambda: supervised.read("stats.json").get("misses") == 3, "the counts on disk")
    supervised.kill()
    assert supervised.node.control("stats")["misses"] == 3


@pytest.mark.needs("curl")
def test_curl_does_not_notice(supervised: Supervised, github: GitHub) -> None:
    github.order("fault", match=f"/repos/{REPOSITORY}/labels*", delay=0.5, times=None)
    curl = ["curl", "-sS", "--fail", "--max-time", str(PATIENCE), "-H", f"Authorization: token {TOKEN}"]
    where = ["--unix-socket", str(supervised.node.socket), f"http://api.github.com/repos/{REPOSITORY}/labels"]
    with subprocess.Popen([*curl, *where], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        supervised.kill_with(1)
        out, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (0, b"")
    assert json.loads(out)


@pytest.mark.needs("gh")
def test_gh_does_not_notice(supervised: Supervised, github: GitHub) -> None:
    github.order("fault", match=f"/repos/{REPOSITORY}/labels*", delay=0.5, times=None)
    config = next(supervised.home.rglob("config.yml")).parent
    variables = {**environment(supervised.home), "GH_CONFIG_DIR": str(config), "GH_TOKEN": TOKEN}
    command = ["gh", "api", f"repos/{REPOSITORY}/labels"]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        supervised.kill_with(1)
        out, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (0, b"")
    assert json.loads(out)


def hits(connection: http.client.HTTPConnection, path: str, going: threading.Event, lost: list[str]) -> list[str]:
    """Ask for what is in memory until it is over; returns what was answered wrongly, or not at all."""
    wrong: list[str] = []
    expected = None
    while going.is_set():
        try:
            status, _, body = ask(connection, path)
        except (OSError, http.client.HTTPException) as error:  # a read that may be made again (RFC 9110, 9.2.2)
            lost.append(repr(error))
            connection.close()
            continue
        expected = expected or body
        if (status, body) != (200, expected):
            wrong.append(f"{status}: {body}")
    return wrong


def test_a_kill_amid_memory_hits_costs_one_answer_at_most_and_falsifies_none(supervised: Supervised) -> None:
    path, kills = f"/repos/{REPOSITORY}", 3
    going = threading.Event()
    lost: list[str] = []
    going.set()
    with contextlib.ExitStack() as open_, ThreadPoolExecutor() as pool:
        connections = [open_.enter_context(connect(supervised.node)) for connect in (tcp, unix) * 2]
        for connection in connections:
            ask(connection, path)
        until(lambda: supervised.held() >= len(connections), "the connections in two hands")
        clients = [pool.submit(hits, connection, path, going, lost) for connection in connections]
        try:
            for _ in range(kills):
                before = supervised.node.control("stats")["hits"]["memory"]
                until(lambda n=before: supervised.node.control("stats")["hits"]["memory"] > n + 100, "many hits")
                supervised.kill()
        finally:
            going.clear()
        assert [client.result(2 * PATIENCE) for client in clients] == [[]] * len(clients)
    assert len(lost) <= kills, lost
