from pathlib import Path

import pytest

from p2pcache.client import NodeNotFoundError, RunningNode, get_global_cache
from tests.unit.client.conftest import FakeNode


def test_the_running_nodes_ledger(node: FakeNode) -> None:
    assert get_global_cache().stats()["requests"] == 3
    assert get_global_cache().answers()
    assert [(path, host) for _, path, host, _ in node.asked] == [
        ("/-/stats", "localhost"),
        ("/-/healthz", "localhost"),
    ]


def test_without_a_node_the_error_says_how_to_start_one(no_node: Path) -> None:
    with pytest.raises(NodeNotFoundError, match=r"gone.sock \(start one with: eval \"\$\(p2pcache up\)\"\)"):
        get_global_cache().stats()
    assert not get_global_cache().answers()


def test_without_an_environment_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("P2PCACHE_SOCKET", raising=False)
    with pytest.raises(NodeNotFoundError, match="P2PCACHE_SOCKET is not set"):
        get_global_cache().stats()
    assert not RunningNode(None).answers()


@pytest.mark.parametrize(
    "answer",
    [(200, {}, b"<html>"), (200, {}, b"[]"), (500, {}, b"{}"), (200, {}, None)],
    ids=["no JSON", "no object", "an error", "hangs up"],
)
def test_what_is_no_node_is_not_taken_for_one(node: FakeNode, answer: tuple[int, dict[str, str], bytes | None]) -> None:
    node.answers["/-/stats"] = node.answers["/-/healthz"] = answer
    with pytest.raises(NodeNotFoundError, match="no p2pcache node answers at"):
        get_global_cache().stats()
    assert not get_global_cache().answers()
