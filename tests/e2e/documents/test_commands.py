"""Every command in the documents does what it is there for, or stands here with the reason why it is not run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.document_blocks import Block, Sandbox, blocks, github, networks
from tests.support.namespaces import Namespace

pytestmark = [pytest.mark.needs("netns", "gh", "curl"), pytest.mark.timeout(200)]

LEFT_OUT = {
    "README.md: curl -fL --create-dirs": "downloads a release; tests/e2e/test_install.py runs the file that it names",
    "README.md: make demo": "the targets of make themselves, which .ci/run runs",
    "CONTRIBUTING.md: git clone": "the same",
    "docs/deploying.md: ./install.sh": "installs for systemd; tests/e2e/test_installer.py does so in a container",
    "docs/deploying.md: docker build": "needs an engine, and minutes; tests/e2e/test_hub_image.py runs the image so",
    "docs/deploying.md: kubectl create": "needs a cluster; tests/unit/test_deploy.py holds the manifest to its schemas",
    "docs/s3.md: aws s3api": "needs an account at Amazon",
    "docs/scenarios.md: p2pcache scenarios\n": "takes minutes; tests/e2e/test_scenarios.py runs all of them",
    "docs/webhooks.md: gh api repos/OWNER/REPO/hooks": "makes a webhook at GitHub; the stand-in has none to make",
}
"""By the beginning of a block."""
BEFORE = {
    "docs/operating.md: curl --unix-socket": 'eval "$(p2pcache up)"',
    "docs/troubleshooting.md: p2pcache get": 'eval "$(p2pcache up)"',
    "docs/troubleshooting.md: timeout 3": "p2pcache serve --hub",
    "docs/deploying.md: cd /var/lib": "p2pcache serve --hub",
    "docs/deploying.md: tar": "p2pcache serve --hub",
    "docs/github-mcp-server.md: GITHUB_HOST": "p2pcache serve --hub --listen 127.0.0.1:9101",
    "docs/ipfs.md: ipfs config": "ipfs init --profile=pebbleds",
}
"""What a reader has done before; the document says so."""
SHOWS = {
    "README.md: p2pcache run": r"of 1 API call saved[\s\S]*200 in .* ms from[\s\S]*no peers[\s\S]*of 1 API call saved",
    'docs/quick-start.md: eval "$(p2pcache up)': r"octo/app\n[\s\S]*another token or client brought[\s\S]*2 of 3 API",
    "docs/quick-start.md: p2pcache run": r"octo/app\n[\s\S]*0 of 1 API call saved",
    "docs/quick-start.md: p2pcache demo": r"API calls saved",
    "docs/troubleshooting.md: p2pcache get": r"neither this node nor a peer had it",
    "docs/troubleshooting.md: timeout 3": r"/multistream/1.0.0",
    "docs/operating.md: export CACHE_CONTROL_TOKEN": r"p2pcache_requests_total",
    "docs/deploying.md: export CACHE_CONTROL_TOKEN": r'"requests"',
    "docs/etag.md: GITHUB_TOKEN": r"holds",
    "docs/scenarios.md: p2pcache scenarios --only": r"\| P2P on one host \| 3 of 3 \|",
}
"""What then is on the screen, as a pattern."""
PROGRAMS = {"ipfs": "kubo", "github-mcp-server": "github-mcp-server"}


def of(table: dict[str, str], block: Block) -> str:
    whole = f"{block.document}: {block.text}"
    return next((value for beginning, value in table.items() if whole.startswith(beginning)), "")


ALL = blocks()
RUN = [
    pytest.param(
        block,
        marks=[
            pytest.mark.needs(engine)
            for word, engine in PROGRAMS.items()
            if re.search(rf"^\s*{word} ", block.text, re.MULTILINE)
        ],
        id=str(block),
    )
    for block in ALL
    if not of(LEFT_OUT, block)
]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Namespace, Namespace]]:
    with networks() as (here, elsewhere), github(here, tmp_path_factory.mktemp("github")):
        yield here, elsewhere


@pytest.fixture
def sandbox(machines: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[Sandbox]:
    made = Sandbox(*machines, tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("block", RUN)
def test_the_commands_of_a_document_do_what_they_are_there_for(block: Block, sandbox: Sandbox) -> None:
    done = sandbox.run("\n".join(filter(None, [of(BEFORE, block), block.text])))
    assert done.returncode == 0, f"{done.stdout}\n{sandbox.log()}"
    assert re.search(of(SHOWS, block), done.stdout), done.stdout


def test_most_are_run_and_nothing_is_listed_that_is_not_there() -> None:
    texts = [f"{block.document}: {block.text}" for block in ALL]
    for beginning in (*LEFT_OUT, *BEFORE, *SHOWS):
        assert any(text.startswith(beginning) for text in texts), beginning
    assert len(RUN) > 2 * len(LEFT_OUT)
