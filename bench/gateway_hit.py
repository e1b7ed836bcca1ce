"""A memory hit against nginx's `proxy_cache`: one worker each, the same body and client, in turns.

Run it alone: ``python bench/gateway_hit.py [--rounds 5] [--seconds 2]``; exit status 1 if a target is
missed. Measured are a node of `p2pcache serve` and one under the supervisor (`p2pcache up`); the targets are for the
latter, which jobs use.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import _tools as tools

PATH = "/repos/octo/app/issues?per_page=3"
HEADERS = {"Host": "api.github.com", "Authorization": "token ghp_bench", "Accept": "application/vnd.github+json"}
P50_RATIO, RATE_RATIO = 1.5, 0.45
SUPERVISED_RATIO = 0.95
NGINX = """
{user}worker_processes 1; daemon off; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {home}/a; fastcgi_temp_path {home}/b; uwsgi_temp_path {home}/c; scgi_temp_path {home}/d;
  proxy_temp_path {home}/e; proxy_cache_path {home}/f keys_zone=api:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream}; proxy_cache api; proxy_cache_valid 200 1h;
      proxy_cache_key "$request_uri$http_authorization";
      proxy_ignore_headers Cache-Control Expires Vary; add_header X-Cache $upstream_cache_status;
    }}
  }}
}}
"""


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2)
    chosen = options.parse_args()
    tools.needs("nginx", "wrk")
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        ports = _start(Path(scratch), running)
        found: dict[tuple[str, int], list[tools.Load]] = {}
        for _ in range(chosen.rounds):
            for connections in (1, 16):
                for name, port in ports.items():
                    load = tools.wrk(f"http://127.0.0.1:{port}{PATH}", connections, chosen.seconds, HEADERS)
                    found.setdefault((name, connections), []).append(load)
    p50 = {name: statistics.median(load.p50 for load in found[name, 1]) for name in ports}
    rate = {name: statistics.median(load.rate for load in found[name, 16]) for name in ports}
    print(f"{'':24}{'p50 at 1':>12}{'ratio':>8}{'rate at 16':>14}{'ratio':>8}")
    for name in ports:
        row = f"{name:24}{p50[name] * 1000:9.0f} us{p50[name] / p50['nginx']:8.2f}"
        print(f"{row}{rate[name]:12.0f}/s{rate[name] / rate['nginx']:8.2f}")
    return tools.verdict(
        [
            ("p50 at 1 connection, of nginx's", p50["p2pcache up"] / p50["nginx"], "<=", P50_RATIO),
            ("requests/s at 16 connections, of nginx's", rate["p2pcache up"] / rate["nginx"], ">=", RATE_RATIO),
            ("requests/s of `up`, of `serve`'s in the same round", _paired(found), ">=", SUPERVISED_RATIO),
        ]
    )


def _paired(found: Mapping[tuple[str, int], Sequence[tools.Load]]) -> float:
    """The median of the ratios of neighbouring runs: what else the machine does cancels out."""
    pairs = zip(found["p2pcache up", 16], found["p2pcache serve", 16], strict=True)
    return statistics.median(up.rate / serve.rate for up, serve in pairs)


def _start(home: Path, running: contextlib.ExitStack) -> dict[str, int]:
    """Start the stand-in GitHub, nginx and two nodes with warm caches; return their ports."""
    env, log = tools.clean_environment(home, CACHE_TTL="3600"), home / "log"
    github_ready = home / "github.json"
    command = [
        sys.executable,
        "-m",
        "p2pcache.testing",
        "--token=ghp_bench=octo/app",
        "--ready-file",
        str(github_ready),
    ]
    github = running.enter_context(tools.process(*command, log=log, env=env))
    upstream = tools.ready(github_ready, github, log)["url"]

    ports = {"nginx": tools.free_port(), "p2pcache serve": tools.free_port(), "p2pcache up": tools.free_port()}
    configuration = home / "nginx.conf"
    user = "user root; " if os.geteuid() == 0 else ""  # so that the worker can write to the master's folders
    configuration.write_text(NGINX.format(user=user, home=home, port=ports["nginx"], upstream=upstream))
    running.enter_context(tools.process("nginx", "-c", str(configuration), "-e", str(home / "error.log"), log=log))
    node = [sys.executable, "-m", "p2pcache"]
    flags = ["--no-p2p", "--upstream", upstream]
    serve = [*flags, "--listen", f"127.0.0.1:{ports['p2pcache serve']}", "--dir", str(home / "serve")]
    running.enter_context(tools.process(*node, "serve", *serve, log=log, env=env))
    up = [*flags, "--listen", f"127.0.0.1:{ports['p2pcache up']}", "--dir", str(home / "up")]
    subprocess.run([*node, "up", *up], check=True, capture_output=True, env=env)
    down = [*node, "down", "--dir", str(home / "up")]
    running.callback(lambda: subprocess.run(down, check=True, capture_output=True, env=env))

    bodies = set()
    for port in ports.values():
        tools.listening(port)
        for _ in range(3):
            headers, body = tools.get(port, PATH, HEADERS)
        bodies.add(body)
        if headers.get("x-cache") != "HIT" and "detail=memory" not in headers.get("cache-status", ""):
            sys.exit(f"port {port} does not answer from its cache: {headers}")
    if len(bodies) != 1:
        sys.exit("they do not answer with the same body")
    print(f"a body of {len(body)} bytes, {' and '.join(ports)}")
    return ports


if __name__ == "__main__":
    sys.exit(main())
