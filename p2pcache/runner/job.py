"""One job's files, the outputs and variables for its later steps, and gh's configuration."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2pcache.declarations import SOCKET_PATH_BYTES
from p2pcache.exports import JOB_EXPORTS


@dataclass(frozen=True, slots=True)
class Job:
    """The files of a job, all below the runner's temporary folder, which the runner empties after the job."""

    directory: Path

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Job:
        """Return the job of this process."""
        return cls(Path(environ.get("RUNNER_TEMP") or tempfile.gettempdir()) / "p2pcache")

    @property
    def run(self) -> Path:
        """The folder of `supervisor`."""
        return self.directory / "run"

    @property
    def node(self) -> Path:
        """The node's ``--dir``: its identity, which lives as long as the job, and its sealed store.

        `action.yml` names the store, ``node/store``, for ``persist``.
        """
        return self.directory / "node"

    @property
    def gh(self) -> Path:
        """The folder for `GH_CONFIG_DIR`."""
        return self.directory / "gh"

    @property
    def gh_files(self) -> tuple[Path, ...]:
        """The files in `gh`, removed with the node, so that no login stays in an unexpected place."""
        return self.gh / "config.yml", self.gh / "hosts.yml"

    @property
    def stats(self) -> Path:
        """The ledger, written at the job's end."""
        return self.directory / "stats.json"

    @property
    def socket(self) -> Path:
        """The node's socket, visible to every container of the job unless the path exceeds a socket's limit."""
        path = self.directory / "node.sock"
        if len(bytes(path)) <= SOCKET_PATH_BYTES:
            return path
        digest = hashlib.sha256(bytes(self.directory)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"p2pcache-{digest}" / "node.sock"

    @property
    def interceptor(self) -> Path:
        """The folder of `intercepted_job`."""
        return self.directory / "intercept"

    def remember(self, record: Mapping[str, Any]) -> None:
        """Store the state that the job's end, or a second use, reads."""
        (self.directory / "job.json").write_text(json.dumps(record), "utf-8")

    def recall(self) -> dict[str, Any]:
        """Return the stored state, empty if there is none."""
        try:
            return dict(json.loads((self.directory / "job.json").read_bytes()))
        except (OSError, ValueError):
            return {}


def node_outputs(ready: Mapping[str, Any]) -> dict[str, str]:
    """Return the Action's outputs that a ready file determines; one that the node does not have is empty."""
    return {
        "api-url": ready["api_url"],
        "graphql-url": ready["graphql_url"],
        "socket": ready["socket"],
        "peer-id": ready.get("peer_id") or "",
        "multiaddr": next(iter(ready.get("multiaddrs") or ()), ""),
    }


def exported(outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that carry `outputs` to later steps and to a shell, without the empty ones."""
    return {JOB_EXPORTS[name]: value for name, value in outputs.items() if value and name in JOB_EXPORTS}


def write_gh_config(job: Job, socket: str, environ: Mapping[str, str]) -> Path:
    """Write a configuration with which gh connects to `socket` (to GitHub if empty), and return its ``config.yml``.

    Other settings are copied. Logins stay where they are: a link leads to the file, which may be written later. When
    ``config.yml`` is removed, gh connects to GitHub again.
    """
    job.gh.mkdir(parents=True, exist_ok=True)
    before = _gh_config_dir(environ)
    config, logins = job.gh_files
    if before.is_dir() and before.resolve() != job.gh.resolve():
        logins.unlink(missing_ok=True)
        logins.symlink_to(before.resolve() / logins.name)
    config.write_text(with_socket(_text(before / "config.yml"), socket), "utf-8")
    return config


def with_socket(config: str, socket: str) -> str:
    """Return `config` with `http_unix_socket` set, or removed. A JSON string is valid YAML (YAML 1.2, 1.3)."""
    lines = [line for line in config.splitlines() if not line.startswith("http_unix_socket:")]
    if not any(line.startswith("version:") for line in lines):
        lines.insert(0, 'version: "1"')
    if socket:
        lines.append(f"http_unix_socket: {json.dumps(socket)}")
    return "\n".join([*lines, ""])


def _gh_config_dir(environ: Mapping[str, str]) -> Path:
    # cli/go-gh, pkg/config: GH_CONFIG_DIR, then XDG_CONFIG_HOME/gh, then ~/.config/gh.
    if named := environ.get("GH_CONFIG_DIR"):
        return Path(named)
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/nonexistent") / ".config"
    return Path(base) / "gh"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
