"""pip and uv: told the same of this machine, tried before the work, so that what cannot succeed costs little time."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from action.causes import SILENCE, explain

BUILD_SECONDS = 300.0
PROBE_SECONDS = 8.0
PROBE = "sniffio"
"""The package of the lock that is fetched to see whether any can be: pure Python, 10 KB."""
# Settings of a developer's shell that would put packages somewhere else, or other ones.
DROPPED = re.compile(
    r"PYTHON|VIRTUAL_ENV|PIP_(TARGET|PREFIX|ROOT|REQUIRE|CONSTRAINT|NO_BINARY|ONLY_BINARY|DRY_RUN|QUIET)"
    r"|UV_(PYTHON|SYSTEM_PYTHON|PROJECT|WORKING|CONSTRAINT|OVERRIDE|EXCLUDE_NEWER|NO_BINARY|NO_BUILD)"
)
# An index that stops answering in the middle of the work costs seconds; with the defaults of pip, a minute and a half.
BRIEF = {"PIP_TIMEOUT": "8", "PIP_RETRIES": "1", "UV_HTTP_TIMEOUT": "8", "UV_HTTP_RETRIES": "1"}
UV_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE")
# Where distributions keep the bundle (as crypto/x509 of Go's library has it); pip before 24.2 looks at its own alone.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class InstallError(Exception):
    """A command failed; the message names the cause and what to do."""


def run(command: list[str], variables: Mapping[str, str], seconds: float = BUILD_SECONDS) -> str:
    """What a command writes to stdout; it runs to its end without input, in the scratch folder.

    In the job's workspace, uv would read the settings of the project that is there.

    Raises:
        InstallError: it cannot be started, fails or takes too long.
    """
    try:
        done = subprocess.run(  # noqa: S603 - commands of this package only
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=seconds, env=dict(variables), cwd=variables.get("TMPDIR"), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise InstallError(SILENCE.format(seconds)) from None
    except OSError as error:
        raise InstallError(f"{Path(command[0]).name}: {explain(str(error))}") from None
    if done.returncode:
        raise InstallError(explain(done.stdout + done.stderr))
    return done.stdout


def pip_settings(pip: list[str], variables: Mapping[str, str]) -> dict[str, str]:
    """What pip was told by its files and variables, by option; as ``pip config list`` gives it."""
    try:
        lines = run([*pip, "config", "list"], variables, PROBE_SECONDS).splitlines()
    except InstallError:
        return {}  # a pip that cannot list its settings will say more of it when it is used
    found: dict[str, str] = {}
    # What counts more comes later: all commands' section, then `install`, then variables.
    order = {"global": 0, "install": 1, ":env:": 2}
    matches = [m for line in lines if (m := re.fullmatch(r"(global|install|:env:)\.([\w-]+)=('.*'|\".*\")", line))]
    for match in sorted(matches, key=lambda m: order[m[1]]):
        found[match[2]] = str(ast.literal_eval(match[3]))
    return found


def base_variables(environ: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """The environment of every command: what would lead astray is left out, temporary files stay in `scratch`."""
    kept = {**BRIEF, **{k: v for k, v in environ.items() if not DROPPED.match(k)}}
    # Variables, because they count more than what a configuration file says.
    told = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    return {**kept, **told, "UV_PYTHON_DOWNLOADS": "never", "TMPDIR": str(scratch)}


def with_certificates(variables: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Have both trust what the system trusts, unless they were told what to trust."""
    told = settings.get("cert") or variables.get("REQUESTS_CA_BUNDLE") or variables.get("CURL_CA_BUNDLE")
    system = next((path for path in BUNDLES if sys.platform == "linux" and Path(path).is_file()), "")
    # One variable under its older and its newer name.
    found = {"UV_NATIVE_TLS": "true", "UV_SYSTEM_CERTS": "true", "SSL_CERT_FILE": told, **variables}
    found["PIP_CERT"] = told or variables.get("SSL_CERT_FILE") or system
    return {name: value for name, value in found.items() if value}


def for_uv(variables: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Tell uv, which reads none of pip's settings, what pip was told; uv's own settings count more."""
    told = {
        "UV_INSECURE_HOST": settings.get("trusted-host", ""),
        "ALL_PROXY": settings.get("proxy", ""),
        "SSL_CLIENT_CERT": settings.get("client-cert", ""),
    }
    if not _has_indexes(variables):
        told |= {
            "UV_DEFAULT_INDEX": settings.get("index-url", ""),
            "UV_INDEX": settings.get("extra-index-url", ""),
            "UV_FIND_LINKS": ",".join(settings.get("find-links", "").split()),
            # The nearest it has to `no-index`.
            "UV_OFFLINE": "true" if settings.get("no-index", "").lower() in ("1", "true", "yes", "on") else "",
            # pip's rule. The hashes of the lock say which file is meant, wherever it comes from.
            "UV_INDEX_STRATEGY": "unsafe-best-match",
        }
    return {**{name: " ".join(value.split()) for name, value in told.items() if value}, **variables}


def _has_indexes(variables: Mapping[str, str]) -> bool:
    home = Path(variables.get("XDG_CONFIG_HOME") or Path(variables.get("HOME") or "/nonexistent") / ".config")
    files = (home / "uv/uv.toml", Path("/etc/uv/uv.toml"))
    return any(variables.get(name) for name in UV_INDEXES) or any(file.is_file() for file in files)


def probe_lines(lock: str) -> str:
    """The lock's lines of one small package."""
    found = re.search(rf"^{PROBE}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def probe_with_pip(pip: list[str], variables: Mapping[str, str], lines: Path, scratch: Path) -> None:
    """Fetch one small package; the way of all the others: settings, index, certificate, files' host, hash.

    Raises:
        InstallError: none can be had.
    """
    # -vv: pip says why an index cannot be read to those who ask for it only.
    run([*pip, "download", "-vv", "--no-cache-dir", "--no-deps", "--require-hashes", "--retries", "0",
         "--timeout", f"{PROBE_SECONDS / 2:g}", "-d", str(scratch / "probe"), "-r", str(lines)],
        variables, PROBE_SECONDS)  # fmt: skip


def probe_with_uv(uv: str, python: str, variables: Mapping[str, str], lines: Path, scratch: Path) -> None:
    """As `probe_with_pip`, where uv does the work.

    Raises:
        InstallError: none can be had.
    """
    brief = {**variables, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": f"{PROBE_SECONDS / 2:g}"}
    run([uv, "pip", "install", "--no-cache", "--no-deps", "--require-hashes", "--python", python,
         "--target", str(scratch / "probe"), "-r", str(lines)], brief, PROBE_SECONDS)  # fmt: skip
