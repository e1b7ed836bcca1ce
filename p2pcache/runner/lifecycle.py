"""One job's node from start to end, for the composite Action's steps and the Docker Action's sibling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions_toolkit import core  # type: ignore[import-untyped]  # it ships no types

from p2pcache import backends
from p2pcache.gateway.ask import NodeError, ask, ask_any
from p2pcache.github.tokens import LONG_LIVED, token_kind
from p2pcache.interception import counts
from p2pcache.ledger.stats import read
from p2pcache.runner import evidence, inputs, supervisor
from p2pcache.runner.bootstrap import Bootstrap, resolve
from p2pcache.runner.concerns import Concern, concerns
from p2pcache.runner.diagnosis import as_markdown, diagnosed
from p2pcache.runner.inputs import Inputs
from p2pcache.runner.job import Job, node_outputs
from p2pcache.runner.joining import SWARM_SECONDS, Joined, join
from p2pcache.runner.network import Network, decide
from p2pcache.runner.report import MAX_SENTENCE, headline, markdown, plain
from p2pcache.runner.supervisor import SupervisorError
from p2pcache.unknown import unknown, unused
from p2pcache.wording import counted

READY_SECONDS = 20.0
NO_CACHE_SERVICE = "p2pcache: the Actions cache is not used: this runner has no cache service v2"
"""As `post/main.js` has it."""


def begin(job: Job, given: Inputs) -> dict[str, Any]:
    """Detect the network, find the hub, start the node, and store how later steps reach it.

    Returns:
        The state that `Job.recall` returns from then on: ``outputs``, ``warnings``, ``facts`` for the summary, ...

    Raises:
        SupervisorError: the node did not start, or with `strict` did not join its hub; no process remains.
    """
    network, found = _detect(given)
    if given.strict and found.missed and not found.reachable:
        raise SupervisorError("; ".join(found.missed))
    given.variables["CACHE_BOOTSTRAP_PEERS"] = ",".join(found.multiaddrs)
    flags = ["--listen", f"127.0.0.1:{given.gateway_port}", "--socket", str(job.socket), "--dir", str(job.node)]
    started = supervisor.start(flags, job.run, READY_SECONDS, environ=given.variables, remove_at_end=job.gh_files)
    try:
        record = _record(job, given, network, found, started)
        job.remember(record)
    except BaseException:
        supervisor.stop(job.run)  # a step that fails sets no outputs, so no post step runs
        raise
    return record


def diagnose(job: Job, given: Inputs, record: dict[str, Any]) -> None:
    """Examine the job where it is asked for, and add what is found to its record.

    After everything else, so that what later steps get is examined as they get it.
    """
    if given.diagnose:
        variables = {**given.variables, **record.get("variables", {})}
        record |= {"diagnosis": diagnosed(job, variables), "diagnosing": False}
        job.remember(record)


def authorize(job: Job, results_url: str, token: str) -> None:
    """Hand the node what the runner gives for the Actions cache; without it, its packs are neither read nor written."""
    if not (results_url and token):
        core.info(NO_CACHE_SERVICE)
        return
    try:
        ask_any(str(job.socket), "/-/actions", body={"results_url": results_url, "token": token})
    except NodeError as error:
        core.info(f"p2pcache: the Actions cache is not used: {error}")


def report(job: Job, record: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Write the node's statistics to the file, the log and the job summary.

    Raises:
        NodeError: the node does not answer, and the job is `strict`.
    """
    # gh in later post steps connects to GitHub again.
    for file in job.gh_files:
        file.unlink(missing_ok=True)
    try:
        stats = ask(str(job.socket), "/-/stats")
        job.stats.write_text(json.dumps(stats), "utf-8")
        core.info(headline(stats))
        intercepted = _intercepted(record, stats)
        for name, value in intercepted.items():
            core.info(plain(f"{name}: {value}", MAX_SENTENCE))
        restarts = supervisor.restarts(job.run)
        # What was reported when the job began is not annotated again.
        earlier = [Concern(warning) for warning in record["warnings"]]
        off = concerns(read(stats), expects_peers=record["expects-peers"] and not earlier, restarts=restarts)
        for concern in off:
            (core.warning if concern.serious else core.notice)(f"p2pcache: {plain(concern.sentence, MAX_SENTENCE)}")
        if record["report"]:
            facts = {**record["facts"], **intercepted, "Node restarts": str(restarts)}
            _append_summary(environ, markdown(stats, facts, [*earlier, *off]))
    except (NodeError, ValueError) as error:
        if record["strict"]:
            raise NodeError(f"no report: {error}") from None
        core.warning(f"p2pcache: no report: {error}; its last words: {supervisor.last_words(job.run)}")
    finally:
        if diagnosis := record.get("diagnosis"):
            _append_summary(environ, as_markdown(diagnosis))


def _intercepted(record: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, str]:
    """Return what clients that name no base URL got of the cache, and which of them were passed by."""
    if "intercepted" not in record:
        return {}
    connections = counts.converted(record["intercepted"])
    saved = sum(program["saved"] for program in stats["programs"].values())
    asked = sum(program["requests"] for program in stats["programs"].values())
    calls = f"{saved} of {counted(asked, 'call')} saved"
    return {"Clients without a base URL": calls, "Passed by": counts.passed(connections)}


def _record(job: Job, given: Inputs, network: Network, found: Bootstrap, started: dict[str, Any]) -> dict[str, Any]:
    ready = supervisor.with_swarm(job.run, started, SWARM_SECONDS)
    joined = join(ready, found.multiaddrs if found.reachable else ())
    if given.strict and joined.problem:
        raise SupervisorError(joined.problem)
    return {
        "outputs": _outputs(job, ready, network, found, connected=joined.connected),
        "p2p": given.settings.p2p,
        "p2p-port": ready.get("p2p_port") or "",
        "gh": given.gh,
        "expects-peers": _expects_peers(given),
        "report": given.report,
        "diagnosing": given.diagnose,
        "strict": given.strict,
        "sentence": found.sentence,
        "notes": _notes(given, ready),
        "warnings": _warnings(given, found, joined),
        "facts": _facts(given, network, found, joined),
    }


def _expects_peers(given: Inputs) -> bool:
    """Return whether peers are the only way by which the job shares, and it has what they ask for."""
    settings = given.settings
    stored = given.persist or any(backends.named(name).reach is backends.Reach.ANYWHERE for name in settings.backends)
    return settings.p2p and bool(settings.secrets) and not stored


def _detect(given: Inputs) -> tuple[Network, Bootstrap]:
    seen = evidence.collect()
    network = decide(seen)
    if given.mode is not None and given.mode is not network.mode:
        network = Network(given.mode, given.mode, f"as the input says, though it looks like {network.mode}")
    if not given.settings.p2p:
        found = Bootstrap((), False, "peer to peer is off (enable-p2p: false)")
    elif not given.settings.secrets and _has_no_lasting_token(given) and not _can_enrol(given):
        found = Bootstrap((), False, _without_secret(given))
    else:
        found = resolve(given.targets, network, seen, strict=given.strict)
    core.info(f"{network}: {network.reason}")
    if found.reachable or not found.missed:
        core.info(found.sentence)
    if given.persist and not given.settings.secrets:
        core.info("persist needs `secret`: without one the store's key dies with the job, so nothing is kept")
    return network, found


def _has_no_lasting_token(given: Inputs) -> bool:
    token = given.settings.token
    return token is None or token_kind(token.reveal()) not in LONG_LIVED


def _can_enrol(given: Inputs) -> bool:
    """Return whether the job can prove itself to a hub by an OIDC token, which is bound to the hub's peer id."""
    return _has_id_token(given) and any(target.peer_id for target in given.targets)


def _has_id_token(given: Inputs) -> bool:
    return bool(given.settings.id_token_url and given.settings.id_token_key)


def _without_secret(given: Inputs) -> str:
    sentence = "without `secret` this job's answers stay in this job: p2pcache keygen makes one"
    if any(target.peer_id for target in given.targets):
        return f"{sentence}; or give the job `id-token: write`, where the hub admits by OIDC"
    if _has_id_token(given) and any(target.named for target in given.targets):
        return f"{sentence}; or, for a hub that admits by OIDC, end its address in /p2p/ and its peer id"
    return sentence


def _notes(given: Inputs, ready: Mapping[str, Any]) -> list[str]:
    wished, bound = given.settings.p2p_port, ready.get("p2p_port")
    lost = wished and bound and wished != bound
    notes = [f"port {wished} cannot be had: peers reach this node at port {bound}"] if lost else []
    return notes + _unknown(given, mistaken=False)


def _warnings(given: Inputs, found: Bootstrap, joined: Joined) -> list[str]:
    """Return a sentence for each request of the user that was not met."""
    problems = [*found.missed, *([joined.problem] if joined.problem else ())]
    alone = "" if joined.connected else ". This job's cache works alone."
    sentences = [f"{problem}{alone}" for problem in problems]
    if ignored := unused(given.variables, given.settings.backends):
        sentences.append(ignored)
    return [inputs.with_input_names(each, given.variables) for each in sentences] + _unknown(given, mistaken=True)


def _unknown(given: Inputs, *, mistaken: bool) -> list[str]:
    """An annotation is for what is likely to be a mistake; other programs' variables are one line of the log."""
    found = unknown(given.variables)
    return [found.sentence] if found and found.mistaken is mistaken else []


def _facts(given: Inputs, network: Network, found: Bootstrap, joined: Joined) -> dict[str, str]:
    facts = {"Network": f"{network}: {network.reason}", **dict(found.rows or (("Hub", found.sentence),))}
    if joined.connected or joined.problem:
        state = "joined when the job began" if joined.connected else joined.problem
        facts["Swarm"] = inputs.with_input_names(state, given.variables)
    return facts


def _outputs(
    job: Job, ready: Mapping[str, Any], network: Network, found: Bootstrap, *, connected: bool
) -> dict[str, str]:
    outputs = {
        **node_outputs(ready),
        "network-mode": str(network.mode),
        "bootstrap-peers": ",".join(found.multiaddrs),
        "p2p-connected": "true" if connected else "false",
        "stats-file": str(job.stats),
    }
    return {name: _one_line(value) for name, value in outputs.items()}


def _one_line(value: object) -> str:
    return "".join(c for c in str(value) if c.isprintable())[:4096]


def _append_summary(environ: Mapping[str, str], text: str) -> None:
    if path := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
