"""What GitHub reports to the hub, every member knows."""

import json
import secrets
import urllib.request
from collections.abc import Callable

from tests.integration.fleet.conftest import joined
from tests.support.deliveries import SECRET, about, fields
from tests.support.processes import GitHub, Node


def test_a_delivery_to_the_hub_is_carried_out_at_a_member(
    start: Callable[..., Node], github: GitHub, repository: str
) -> None:
    def started(name: str, *flags: str, **options: str) -> Node:
        return start(name, *flags, **options, **({"CACHE_WEBHOOK_SECRET": SECRET} if name == "hub" else {}))

    hub, node = joined(started)
    target = f"/repos/{repository}/issues/1"
    node.get(target, "ghs_app0")
    hub.until(lambda _: hub.control("peers")[0]["announced"] > 0, "the announcement")
    hub.get(target, "ghs_app0")
    title = secrets.token_hex(4)
    github.order("edit", repo=repository, issue=1, fields={"title": title})
    for each in (hub, node):
        assert json.loads(each.get(target, "ghs_app0")[2])["title"] != title
    body = about(repository, action="edited")
    request = urllib.request.Request(f"{hub.api_url}/-/webhook", body, fields(body, "issues"), method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.load(response)["status"] == "dropped"
    for each in (node, hub):
        assert json.loads(each.get(target, "ghs_app0")[2])["title"] == title
