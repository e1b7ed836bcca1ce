"""The scenarios' names, which `--only` takes and programs read."""

from __future__ import annotations

from p2pcache.scenarios.catalogue import SCENARIOS


def test_the_names_are_those_of_the_documents_in_their_order() -> None:
    assert [scenario.name for scenario in SCENARIOS] == [
        "no-cache", "no-p2p", "one-host", "host-network", "bridge", "compose", "s3", "ipfs", "actions",
    ]  # fmt: skip


def test_each_says_what_it_is() -> None:
    assert all(scenario.title and scenario.shows for scenario in SCENARIOS)
    assert len({scenario.title for scenario in SCENARIOS}) == len(SCENARIOS)
