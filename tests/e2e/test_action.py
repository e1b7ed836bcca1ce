"""The composite Action in workflows that act runs on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from p2pcache.testing.actions_cache import READ, WRITE, runtime_token
from tests.e2e.conftest import Hub, Run
from tests.support.processes import running
from tests.support.workflows import USE

pytestmark = [
    pytest.mark.needs("act", "node", "gh", "curl", "jq"),
    pytest.mark.usefixtures("nothing_left_behind"),
]

STEPS = """
on: push
jobs:
  one:
    runs-on: ubuntu-latest
    env: {GH_TOKEN: "${{ secrets.GITHUB_TOKEN }}", GITHUB_TOKEN: "${{ secrets.GITHUB_TOKEN }}"}
    steps:
"""
SECRET = hashlib.sha256(b"the e2e tests").hexdigest()


def test_gh_and_curl_through_the_cache(act: Callable[..., Run]) -> None:
    run = act(
        STEPS
        + USE
        + """
      - run: |
          token="Authorization: Bearer $GITHUB_TOKEN"
          ask() { curl -fsS -D- -o /dev/null -H "$token" "$1/repos/octo/app/issues?page=2"; }
          ask "$P2PCACHE_API_URL"
          ask "${{ steps.cache.outputs.api-url }}"
      - run: |
          gh api repos/octo/app --jq .full_name
          gh api repos/octo/app --jq .full_name
          echo "mode ${{ steps.cache.outputs.network-mode }}"
""",
        "-s",
        f"CACHE_SECRET={SECRET}",
    )
    assert run.code == 0, run.log
    assert run.lines.count("octo/app") == 2
    assert any("cache-status: p2pcache; hit" in line.lower() for line in run.lines)
    assert run.saved == (2, 4), "one of two each, counted"
    assert "mermaid" in run.summary
    assert "mode not-docker" in run.lines


def test_by_a_path_in_the_callers_own_repository(act: Callable[..., Run]) -> None:
    use = USE.replace("p2pcache/p2pcache@v1", "./")
    run = act(STEPS + "      - uses: actions/checkout@v5\n" + use + "      - run: gh api repos/octo/lib --jq .name\n")
    assert run.code == 0, run.log
    assert "lib" in run.lines
    assert run.saved == (0, 1)


def test_a_second_use_is_a_no_op_that_says_so(act: Callable[..., Run]) -> None:
    run = act(STEPS + USE + USE.replace("id: cache", "id: again") + "      - run: gh api repos/octo/app --jq .name\n")
    assert run.code == 0, run.log
    assert "runs in this job already: this second use changes nothing" in run.log
    assert run.saved == (0, 1), "the report comes once, when all has run"
    assert "no report" not in run.log.lower()


BAD = "          share: everything\n"


def test_a_bad_input_is_one_warning_and_the_job_goes_on(act: Callable[..., Run]) -> None:
    run = act(
        STEPS + USE + BAD + '      - run: curl -fsS -o /dev/null -w "%{http_code}" $P2PCACHE_API_URL/repos/octo/app\n'
    )
    assert run.code == 0, run.log
    assert run.log.count("::warning") == 1
    assert "input share: read 'everything'" in run.log
    assert "200" in run.lines, "the exported address leads to GitHub itself"


def test_strict_fails_the_job(act: Callable[..., Run]) -> None:
    run = act(STEPS + USE + BAD + "          strict: true\n      - run: echo never\n")
    assert run.code != 0
    assert "::error" in run.log
    assert "never" not in run.lines


RUNNER = """
  {name}:
    runs-on: ubuntu-latest
    env: {{GITHUB_TOKEN: "${{{{ secrets.GITHUB_TOKEN }}}}"}}
    steps:
      - id: cache
        uses: p2pcache/p2pcache@v1
        with:
          upstream: ${{{{ vars.UPSTREAM }}}}
          secret: ${{{{ secrets.CACHE_SECRET }}}}
          bootstrap-peers: {hub}
          listen-port: 0
      - run: |
          await() {{ timeout 30 sh -c "until [ -e {marks}/$1 ]; do sleep 0.1; done"; }}
          [ {name} = first ] || await first-asked
          curl -fsS -D- -o /dev/null -H "Authorization: Bearer $GITHUB_TOKEN" "$P2PCACHE_API_URL/repos/octo/tools" |
            awk 'tolower($1) == "cache-status:" {{print "{name}", $0}}'
          echo "{name} connected ${{{{ steps.cache.outputs.p2p-connected }}}}"
          touch {marks}/{name}-asked
          [ {name} = second ] || await second-asked
"""


def test_a_second_runner_is_served_by_the_first_through_the_hub(
    act: Callable[..., Run], hub: Callable[..., AbstractContextManager[Hub]], tmp_path: Path
) -> None:
    """Two runners at once; GitHub is asked once."""
    with hub() as there:
        address = f"/ip4/127.0.0.1/tcp/{there.port}/p2p/{there.peer_id}"
        jobs = [RUNNER.format(name=name, hub=address, marks=tmp_path) for name in ("first", "second")]
        run = act("on: push\njobs:" + "".join(jobs), "-s", f"CACHE_SECRET={there.secret}")
    assert run.code == 0, run.log
    assert {"first connected true", "second connected true"} <= set(run.lines), run.log
    (second,) = [line for line in run.lines if line.startswith("second cache-status")]
    assert "hit" in second, run.log
    assert "detail=peer" in second, run.log


def test_a_second_run_is_warm_from_the_first(act: Callable[..., Run], tmp_path: Path) -> None:
    store = tmp_path / "cache-store"
    store.mkdir()
    use = USE + "          persist: true\n"
    ask = """
      - run: |
          curl -fsS -o /dev/null -H "Authorization: Bearer $GITHUB_TOKEN" "$P2PCACHE_API_URL/repos/octo/tools"
"""
    flags = ("-s", f"CACHE_SECRET={SECRET}", "--env", f"CACHE_STUB={store}")
    first = act(STEPS + use + ask, *flags)
    assert first.saved == (0, 1), first.log
    assert len(list(store.iterdir())) == 1, first.log
    assert not list(store.rglob("*.key")), "jobs that were given one key would be one peer"
    second = act(STEPS + use + ask, *flags)
    assert second.code == 0, second.log
    assert second.saved == (1, 1), second.log


def test_runs_that_never_meet_share_through_the_actions_cache(act: Callable[..., Run], tmp_path: Path) -> None:
    use = USE + "          backends: actions\n"
    # What act gives as GitHub's runners do: its JavaScript actions see the service, and so, unlike there, does `run`.
    read = """
      - run: |
          seen=false
          for i in $(seq 100); do
            curl -fsS -D- -o /dev/null -H "Authorization: Bearer $GITHUB_TOKEN" \\
              "$P2PCACHE_API_URL/repos/octo/tools/issues?per_page=$i" >"$RUNNER_TEMP/head"
            if grep -q detail=revalidated "$RUNNER_TEMP/head"; then seen=true; fi
            [ $FIRST = true ] || [ $seen = true ] && [ $i -ge 20 ] && break
            sleep 0.1
          done
          echo "from a pack: $seen"
"""
    with running("p2pcache.testing.actions_cache_server", home=tmp_path / "service") as said:
        service = {
            "ACTIONS_RESULTS_URL": said["url"],
            "ACTIONS_RUNTIME_TOKEN": runtime_token("1", {"refs/heads/main": READ | WRITE}),
            "ACTIONS_CACHE_SERVICE_V2": "true",
        }
        flags = ["-s", f"CACHE_SECRET={SECRET}", *(f"--env={name}={value}" for name, value in service.items())]
        first = act(STEPS + use + read, *flags, "--env=FIRST=true")
        assert first.code == 0, first.log
        assert "from a pack: false" in first.lines, first.log
        second = act(STEPS + use + read, *flags, "--env=FIRST=false")
        assert second.code == 0, second.log
        assert "from a pack: true" in second.lines, second.log
    for run in (first, second):
        assert service["ACTIONS_RUNTIME_TOKEN"] not in run.log


def test_a_node_killed_under_load_costs_no_answer(act: Callable[..., Run]) -> None:
    load = """
      - run: |
          for i in $(seq 400); do
            curl -sS -o /dev/null -w '%{http_code}\\n' --max-time 20 "$P2PCACHE_API_URL/repos/octo/app?i=$((i % 7))" &
            [ $((i % 8)) = 0 ] && wait
            if [ $i = 100 ] || [ $i = 250 ]; then kill -9 "$(jq .node "$RUNNER_TEMP/p2pcache/run/supervisor.json")"; fi
          done >"$RUNNER_TEMP/codes" 2>&1; wait
          sort "$RUNNER_TEMP/codes" | uniq -c | awk '{print "code", $2, "times", $1}'
"""
    run = act(STEPS + USE + load)
    assert run.code == 0, run.log
    assert [line for line in run.lines if line.startswith("code")] == ["code 200 times 400"], run.log
    assert "Node restarts | 2" in run.summary
