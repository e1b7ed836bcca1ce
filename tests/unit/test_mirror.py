"""Tests mirror the package: each module has a test file of its own, or is named here with what tries it instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "p2pcache"

DATA = {
    "options",
    "backends/actions",
    "backends/disk",
    "backends/ipfs",
    "backends/p2p",
    "backends/s3",
    "backends/storacha",
    "cache/upstream",
    "gateway/bounds",
    "github/request",
    "github/table",
    "stores/driver",
    "swarm/rules/admitted",
    "swarm/rules/config",
    "exports",
}
"""Types, tables and constants: nothing in them that could be tried by itself."""

TRIED_BY = {
    "cache/guard": ("unit/cache/test_library.py", "the library alone calls out through it"),
    "cache/lookup": ("unit/cache/test_engine.py", "what the engine decides over"),
    "cache/tiers": ("unit/cache/test_leases.py", "protocols, held against every tier and all leases"),
    "cli": ("unit/commands/test_cli.py", "the commands are tried as a shell runs them"),
    "commands/background": ("e2e/supervised/test_shell.py", "a supervisor, its node and a shell"),
    "commands/demo": ("e2e/test_install.py", "run where nothing but Python is"),
    "commands/environment": ("e2e/supervised/test_shell.py", "what it prints is for a shell"),
    "commands/mcp": ("integration/hub/test_mcp_stdio.py", "a real process, as an editor starts it"),
    "commands/mcp_node": ("e2e/test_mcp_stdio.py", "a real process that starts one"),
    "commands/inspect": ("e2e/supervised/test_get.py", "it asks a node that runs"),
    "doctor/ipfs_examination": ("integration/stores/ipfs/test_examination.py", "real daemons"),
    "doctor/s3_examination": ("integration/stores/s3/test_examination.py", "a real server"),
    "gateway/app": ("integration/gateway/test_reads.py", "a whole gateway"),
    "gateway/ask": ("unit/client/test_discovery.py", "asked of a real socket"),
    "gateway/endpoints": ("unit/gateway/test_control.py", "asked as a client asks them"),
    "gateway/exchange": ("unit/gateway/test_control.py", "needs an application around it"),
    "gateway/protocol": ("unit/gateway/survival/test_held_connection.py", "bytes on a real connection"),
    "gateway/reads": ("integration/gateway/test_reads.py", "a whole gateway"),
    "gateway/relay": ("integration/gateway/test_passing.py", "a whole gateway"),
    "gateway/survival/acceptor": ("unit/gateway/survival/test_held_connection.py", "real connections"),
    "gateway/survival/takeover": ("unit/gateway/survival/test_held_connection.py", "connections of a node that died"),
    "github/payload": ("unit/github/test_events.py", "what an event drops is what its payload names"),
    "hub/mcp/asking": ("unit/hub/mcp/test_reading.py", "every tool asks by it"),
    "hub/mcp/gateway_api": ("integration/hub/test_mcp_http.py", "a whole hub"),
    "hub/mcp/http_endpoint": ("integration/hub/test_mcp_http.py", "the SDK's client, and clients that are none"),
    "hub/mcp/node_api": ("integration/hub/test_mcp_http.py", "a protocol, with two implementations"),
    "hub/mcp/remote_api": ("integration/hub/test_mcp_stdio.py", "a real process and a real node"),
    "hub/mcp/results": ("unit/hub/mcp/test_reading.py", "what each call gives"),
    "hub/mcp/sdk": ("integration/hub/test_mcp_http.py", "the SDK's client"),
    "hub/mcp/sdk_stdio": ("integration/hub/test_mcp_stdio.py", "a real process"),
    "ledger/stats": ("unit/ledger/test_ledger.py", "the shape of what the ledger gives"),
    "gateway/seen": ("unit/gateway/test_request_log.py", "what is seen is logged"),
    "http_errors": ("unit/stores/test_service.py", "what a service's failure says"),
    "hub/addons": ("integration/hub/test_mcp_http.py", "a whole hub"),
    "hub/page": ("integration/hub/test_page.py", "asked as a browser asks it"),
    "hub/page_chart": ("unit/hub/test_page_sections.py", "drawn in a section"),
    "hub/page_peers": ("unit/hub/test_page_sections.py", "drawn in a section"),
    "node": ("integration/fleet/test_two_nodes.py", "whole nodes"),
    "participation": ("integration/fleet/test_two_nodes.py", "whole nodes"),
    "peering": ("integration/fleet/test_two_nodes.py", "whole nodes"),
    "runner/lifecycle": ("unit/runner/test_main.py", "a job from beginning to end"),
    "scenarios/apart": ("e2e/test_scenarios.py", "needs the services"),
    "scenarios/docker_networks": ("e2e/test_scenarios.py", "needs an engine"),
    "scenarios/single_host": ("integration/scenarios/test_here.py", "whole nodes"),
    "swarm/rules/reasons": ("unit/swarm/services/test_introduction.py", "each is seen at the end of a session"),
    "swarm/rules/statements": ("security/test_fuzzed_peers.py", "signed by one member, checked by another"),
    "swarm/services/batch": ("unit/swarm/test_tier.py", "announcements of a swarm"),
    "swarm/services/link": ("unit/swarm/services/test_session.py", "a protocol, and what a session does with it"),
    "swarm/services/local_node": ("unit/swarm/test_bridged_node.py", "a protocol, and what a running node makes of it"),
    "swarm/services/room": ("unit/swarm/services/test_mesh.py", "what a mesh does is what its own room does"),
    "values": ("unit/test_settings.py", "each is read for a setting"),
}
"""Modules without a test file of their own, the file below tests/ that tries them, and why there."""


def modules() -> Iterator[tuple[str, bool]]:
    """Each module that has something to try, and whether a test file of its own does."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        room, _, module = name.rpartition("/")
        if not module.startswith("__"):
            yield name, (ROOT / "tests/unit" / room / f"test_{module}.py").exists()


def test_tests_mirror_the_package() -> None:
    alone = {name for name, has_its_own in modules() if not has_its_own}
    # The stand-in is one GitHub in many modules: tests/unit/testing tries it over HTTP, by what GitHub does.
    assert {name for name in alone if not name.startswith("testing/")} == DATA | set(TRIED_BY)


@pytest.mark.parametrize("module", TRIED_BY)
def test_what_tries_a_module_is_there(module: str) -> None:
    file, why = TRIED_BY[module]
    assert (ROOT / "tests" / file).is_file()
    assert why
