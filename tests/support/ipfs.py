"""Real parts of IPFS: Kubo daemons and ipfs-cluster as a pinning service, each a process, built by .ci/programs."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from p2pcache.values import ipfs_api
from tests.support.programs import program

START_SECONDS = 60.0
_SECONDS = 30.0


class Process:
    """A program that is ready once its log says so."""

    def __init__(self, command: list[str | Path], variables: dict[str, str], log: Path, ready: str) -> None:
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env={**os.environ, **variables}, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + START_SECONDS
        while ready not in log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"{command} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.01)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(_SECONDS)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)


class Daemon:
    """A Kubo daemon on loopback that meets no other one unless a test has it do so."""

    def __init__(self, home: Path, **config: Any) -> None:
        self._home = home
        self._variables = {"IPFS_PATH": str(home), "IPFS_TELEMETRY": "off"}
        self._run("init", "--profile=test,pebbleds")
        self._run("config", "--json", "AutoConf.Enabled", "false")
        for name, value in config.items():
            self.configure(name.replace("__", "."), value)
        self.token = ""
        self.start()

    def configure(self, name: str, value: object) -> None:
        """Change its configuration, of which it takes notice at its next start."""
        self._run("config", "--json", name, json.dumps(value))

    def _run(self, *arguments: str) -> None:
        subprocess.run(
            [program("kubo"), *arguments],
            env={**os.environ, **self._variables},
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )

    def start(self) -> None:
        for name in ("api", "gateway"):
            with suppress(FileNotFoundError):
                (self._home / name).unlink()
        self._process = Process(
            [program("kubo"), "daemon"], self._variables, self._home / "daemon.log", "Daemon is ready"
        )
        self.api = ipfs_api((self._home / "api").read_text().strip())
        self.gateway = (self._home / "gateway").read_text().strip()

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> None:
        """Have it end by itself: what a daemon wrote last is lost when it is killed."""
        self._process.stop()

    def rpc(self, path: str, *arguments: str, **options: str) -> list[Any]:
        """The lines of an answer."""
        query = urllib.parse.urlencode([*(("arg", value) for value in arguments), *options.items()])
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(f"{self.api}/api/v0/{path}?{query}", b"", headers, method="POST")
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            return [json.loads(line) for line in response.read().splitlines() if line.startswith(b"{")]

    @property
    def address(self) -> str:
        """Where other daemons reach it."""
        (identity,) = self.rpc("id")
        address: str = identity["Addresses"][0]
        return address

    def connect(self, other: Daemon) -> None:
        self.rpc("swarm/connect", other.address)

    def disconnect(self, other: Daemon) -> None:
        for daemon, away in ((self, other), (other, self)):
            with suppress(urllib.error.HTTPError):  # the other side was quicker
                daemon.rpc("swarm/disconnect", f"/p2p/{away.address.rpartition('/')[2]}")

    def pins(self) -> dict[str, str]:
        """The names of pins by CID, of those that have one."""
        listed = self.rpc("pin/ls", type="recursive", names="true", stream="true")
        return {pin["Cid"]: pin["Name"] for pin in listed if "Name" in pin}

    def collect(self) -> None:
        """Remove every block that no pin keeps."""
        self.rpc("repo/gc")

    def empty(self) -> None:
        """Remove every block."""
        for cid in self.pins():
            self.rpc("pin/rm", cid)
        self.collect()


class Cluster:
    """ipfs-cluster, which keeps what it pins in a daemon, behind the IPFS Pinning Service API."""

    USER, PASSWORD = "p2pcache", "secret"

    def __init__(self, home: Path, daemon: Daemon, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        variables = {"IPFS_CLUSTER_PATH": str(home), "CLUSTER_SECRET": "0" * 64}
        subprocess.run(
            [program("ipfs-cluster"), "init", "--consensus", "crdt"],
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )
        file = home / "service.json"
        config = json.loads(file.read_text())
        api = daemon.api.removeprefix("http://").split(":")
        config["cluster"] |= {"listen_multiaddress": ["/ip4/127.0.0.1/tcp/0"], "mdns_interval": "0s"}
        config["api"]["restapi"]["http_listen_multiaddress"] = "/ip4/127.0.0.1/tcp/0"
        config["api"]["ipfsproxy"]["listen_multiaddress"] = "/ip4/127.0.0.1/tcp/0"
        config["api"]["pinsvcapi"] |= {
            "http_listen_multiaddress": f"/ip4/127.0.0.1/tcp/{port}",
            "basic_auth_credentials": {self.USER: self.PASSWORD},
        }
        config["ipfs_connector"]["ipfshttp"]["node_multiaddress"] = f"/ip4/{api[0]}/tcp/{api[1]}"
        file.write_text(json.dumps(config))
        self._process = Process([program("ipfs-cluster"), "daemon"], variables, home / "cluster.log", "READY")
        self.token = self._ask("token", "POST")["token"]

    def _ask(self, path: str, method: str = "GET") -> Any:
        basic = b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        request = urllib.request.Request(f"{self.url}/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            return json.load(response)

    def kill(self) -> None:
        self._process.kill()

    def pinned(self) -> list[tuple[str, str]]:
        """The CIDs and the names of what it keeps."""
        pins = self._ask("pins?status=pinned")["results"]
        return [(pin["pin"]["cid"], pin["pin"]["name"]) for pin in pins]
