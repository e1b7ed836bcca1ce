"""Part of check 12: lines of ours in the hosts file, who answers where they lead, and the variables that name it.

A line whose listener is gone is the one thing of interception that can harm a machine: every client that asks for its
name fails. The certificate is asked for by a process of its own: a look into this one, which conceals itself, would
find nothing, so that it would be passed by.
"""

from __future__ import annotations

import os
import re
import shlex
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cryptography import x509

from p2pcache.doctor.finding import CheckFinding, failed, passed, skipped, warned
from p2pcache.interception import hosts_file, trust_files
from p2pcache.interception.hosts_file import HOSTS, Led
from p2pcache.runner import as_root

HTTPS = 443
KEEP = "let this step's env keep what the Action sets: docs/interception.md has the variables"
COUNTED = "why is counted in $RUNNER_TEMP/p2pcache/intercept/run/counts.json, by program"
VARIABLES = (trust_files.NODE, trust_files.REQUESTS, trust_files.CURL, trust_files.FILE, trust_files.FOLDER)
_ALWAYS = (trust_files.NODE, trust_files.REQUESTS, trust_files.FOLDER)
_MOST_FILES = 1_000
_MOST_BYTES = trust_files.MOST_BYTES + (1 << 16)  # ours stands last
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----")
# It sends an empty line, which begins no request (RFC 9112 section 2.2): a client that ends a handshake without a byte
# counts as one that does not trust. What comes is read to its end, or closing would reset the connection.
_PROBE = """
import contextlib, socket, ssl, sys
address, port, name, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with socket.create_connection((address, port), seconds) as plain:
    with context.wrap_socket(plain, server_hostname=name) as tls:
        sys.stdout.write(ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)))
        tls.sendall(b"\\r\\n")
        with contextlib.suppress(OSError):
            tls.unwrap()
"""


def of_interception(
    environ: Mapping[str, str], seconds: float, hosts: Path = HOSTS, port: int = HTTPS
) -> Iterator[CheckFinding]:
    """Yield what is found of our lines in the hosts file; nothing where there are none."""
    by_owner: dict[str, list[Led]] = {}
    for line in hosts_file.led(hosts):
        by_owner.setdefault(line.owner, []).append(line)
    for owner, lines in by_owner.items():
        try:
            shown = [_shown(line, environ, seconds, port) for line in lines]
        except OSError as error:  # of this user, not of who answers there
            yield skipped(
                f"{_led(lines)}; who answers there is not examined, since no {sys.executable} can be started: "
                f"{error.strerror}"
            )
            continue
        dead = [line for line, certificate in zip(lines, shown, strict=True) if certificate is None]
        if dead:
            yield failed(
                f"{_led(dead)} by {hosts}, where nobody answers: each client of this machine that asks for it fails",
                f"take what is left of an ended job out of the file, with: {removal(owner, hosts)}",
            )
        else:
            yield _of_variables(lines, shown[0] or b"", environ)  # one certificate is for all names


def removal(owner: str, hosts: Path = HOSTS) -> str:
    """Return the command by which a person takes the lines of `owner` out of the hosts file."""
    command = as_root.withdrawing(owner, hosts)
    if command[: len(as_root.SUDO)] == [*as_root.SUDO]:
        command = ["sudo", *command[len(as_root.SUDO) :]]  # it may ask a person for a password
    return shlex.join(command)


def _of_variables(lines: Sequence[Led], shown: bytes, environ: Mapping[str, str]) -> CheckFinding:
    ours = _is_own_anchor(shown)
    wanted = shown if ours else b""
    wrong = [f"{name} {reason}" for name in _named(environ) if (reason := _lacks(environ, name, wanted))]
    if wrong:
        return warned(f"{_led(lines)}, and {'; '.join(wrong)}: clients that read it go past the cache", KEEP)
    if ours:
        return passed(f"{_led(lines)}, whose certificate is named by {', '.join(_named(environ))}")
    return warned(f"{_led(lines)}, and Python is passed by: it gets GitHub's own certificate", COUNTED)


def _led(lines: Sequence[Led]) -> str:
    leads = "leads" if len(lines) == 1 else "lead"
    return f"{', '.join(line.name for line in lines)} {leads} to {', '.join(line.address for line in lines)}"


def _shown(line: Led, environ: Mapping[str, str], seconds: float, port: int) -> bytes | None:
    """Return the certificate, in DER, that a Python program with these variables is shown; None where it is none.

    Raises:
        OSError: no process can be started.
    """
    variables = {name: environ[name] for name in VARIABLES if environ.get(name)}
    command = [sys.executable, "-I", "-S", "-c", _PROBE, line.address, str(port), line.name, str(seconds)]
    try:
        asked = subprocess.run(  # noqa: S603 - our own script
            command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=1.5 * seconds, check=False
        )
        return ssl.PEM_cert_to_DER_cert(asked.stdout.decode("ascii")) if asked.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        return None


def _is_own_anchor(certificate: bytes) -> bool:
    try:
        found = x509.load_der_x509_certificate(certificate)
    except ValueError:
        return False
    return found.issuer == found.subject


def _named(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that have to name our certificate: two only where a job has set them."""
    return [name for name in VARIABLES if name in _ALWAYS or environ.get(name)]


def _lacks(environ: Mapping[str, str], variable: str, certificate: bytes) -> str:
    """Return what is wrong with a variable, "" where nothing is; an empty certificate is not looked for."""
    value = environ.get(variable, "")
    if not value:
        return "is not set"
    paths = [Path(part) for part in (value.split(os.pathsep) if variable == trust_files.FOLDER else [value]) if part]
    there = [path for path in paths if path.exists()]
    if not there:
        return f"names {value}, which is not there"
    if certificate and not any(certificate in found for path in there for found in map(_certificates, _files(path))):
        return "does not name the certificate that is shown there"
    return ""


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.[0-9]"))[:_MOST_FILES] if path.is_dir() else [path]


def _certificates(path: Path) -> list[bytes]:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return [ssl.PEM_cert_to_DER_cert(found) for found in _PEM.findall(file.read(_MOST_BYTES))]
    except (OSError, ValueError):
        return []
