"""What a node knows and its callers must not: other tokens' repositories, the secret, the credentials it was given."""

import pytest
from support.processes import job
from support.trust import APP, JOB, OTHER_JOB, PERSONAL, PRIVATE, Swarm, announced, github


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    with github(tmp_path_factory.mktemp("github")) as found:
        yield found


@pytest.fixture
def swarm(tmp_path, upstream):
    upstream.order("reset-calls")
    with Swarm(tmp_path, upstream.url) as swarm:
        yield swarm


class TestWhatOthersWereGiven:
    @pytest.mark.parametrize("shown", [(), ("--share", "verified")], ids=["scope", "verified"])
    def test_a_repository_that_is_hidden_looks_like_one_that_is_not_there(self, swarm, shown):
        """Whatever the node has of it; neither the answer nor what it counts tells the two apart."""
        node = swarm.alone("node", "--no-p2p", *shown, **job(JOB, APP))
        assert node.get(f"/repos/{PRIVATE}", PERSONAL)[0] == 200
        assert node.get(f"/repos/{PRIVATE}/issues?per_page=1&page=2", PERSONAL)[0] == 200
        seen = []
        for rest in ("", "/issues?per_page=1&page=2"):
            for repository in (PRIVATE, "octo/nothing"):
                before = node.control("stats")["rules"]
                status, headers, _ = node.get(f"/repos/{repository}{rest}", JOB, **{"P2pcache-Explain": "1"})
                after = node.control("stats")["rules"]
                counted = {rule for rule in after if after[rule] != before.get(rule)}
                told = {name: headers.get(name) for name in ("cache-status", "p2pcache-rule", "age", "etag")}
                seen.append((rest, status, sorted(headers), told, counted))
        assert seen[0] == seen[1]
        assert seen[2] == seen[3]

    def test_who_may_see_it_is_told(self, swarm):
        node = swarm.alone("node", "--no-p2p", **job(JOB, APP))
        node.get(f"/repos/{APP}", PERSONAL)
        headers = node.get(f"/repos/{APP}", JOB, **{"P2pcache-Explain": "1"})[1]
        assert headers["p2pcache-rule"] == "proof of another scope's entry"

    def test_what_depends_on_permissions_is_asked_for_each_token(self, swarm, upstream):
        """Jobs of one repository; the second has no permission for it, as its `permissions:` may say."""
        hub = swarm.hub(**job(JOB, APP))
        member = swarm.member("member", hub, **job(OTHER_JOB, APP))
        target = f"/repos/{APP}/hooks"
        assert hub.get(target, JOB)[0] == 200
        announced(member)
        upstream.order("fault", match=target, status=403)
        assert member.get(target, OTHER_JOB)[0] == 403
        assert hub.get(target, JOB)[1]["cache-status"].endswith("; detail=memory"), "whose own answer stands"
        allowed = member.get(target, OTHER_JOB)
        assert (allowed[0], allowed[1]["cache-status"].endswith("; detail=revalidated")) == (200, True)
        assert member.get(target, OTHER_JOB)[1]["cache-status"].endswith("; detail=memory"), "then it is its own"
