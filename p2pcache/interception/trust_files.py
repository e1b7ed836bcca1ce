"""The files that name our certificate, and the variables by which programs find them.

What a job had stays in force: its own files are extended in new ones, its own folders linked in ours. The files stay
until the runner empties the folder: a program that is told of a file that is gone fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import certifi

from p2pcache import files
from p2pcache.interception import trust_folder
from p2pcache.interception.certificate import subject_hash

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)
SYSTEM_FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs")
NODE, REQUESTS, CURL, FILE, FOLDER = (
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
MOST_BYTES = 16 << 20
"""Of a file that is extended; what a system trusts has 0.2 MB."""


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """How programs are told of our certificate.

    Attributes:
        variables: for later steps.
        bundle: our certificate beside all that the system trusts, for one step's own variables.
        paths: of all files and the folder that name ours.
        folders: those that the folder follows, see `trust_folder`.
    """

    variables: Mapping[str, str]
    bundle: str
    paths: frozenset[str]
    folders: tuple[str, ...] = ()


def write(
    folder: Path,
    certificate: bytes,
    environ: Mapping[str, str],
    bundles: Iterable[str] = SYSTEM_BUNDLES,
    folders: Sequence[str] = SYSTEM_FOLDERS,
) -> TrustFiles:
    """Write the files below `folder`.

    Args:
        folder: of this job.
        certificate: in PEM.
        environ: of the job, which may name certificates already.
        bundles: where a system may keep its own.
        folders: where it may keep them by hash.

    Raises:
        OSError: they cannot be written.
    """
    hashed = folder / "dir"
    hashed.mkdir(mode=0o755, parents=True, exist_ok=True)
    for there in hashed.iterdir():
        there.unlink()
    files.replace(hashed / f"{subject_hash(certificate)}.0", certificate)
    system = _joined(certificate, [*_first(bundles), Path(certifi.where())])
    made = {folder / "bundle.pem": system}
    own = tuple(filter(None, environ.get(FOLDER, "").split(":"))) or tuple(folders)
    # Without what a system trusts by hash, programs that look there would trust nobody but us.
    variables = {FOLDER: str(hashed)} if trust_folder.link(hashed, map(Path, own)) else {}
    if named := environ.get(NODE):
        made |= _extended(folder / "node.pem", certificate, named)
    else:
        made[folder / "node.pem"] = certificate  # Node reads it at each start: a bundle costs 0.1 s
    # requests takes CURL_CA_BUNDLE where its own variable is not set; without both it trusts certifi's alone.
    if named := environ.get(REQUESTS) or environ.get(CURL):
        made |= _extended(folder / "requests.pem", certificate, named)
    else:
        made[folder / "requests.pem"] = system
    for variable, name in ((FILE, "file.pem"), (CURL, "curl.pem")):
        if named := environ.get(variable):
            made |= _extended(folder / name, certificate, named)
    for path, content in made.items():
        files.replace(path, content)
    for variable, name in ((NODE, "node.pem"), (REQUESTS, "requests.pem"), (FILE, "file.pem"), (CURL, "curl.pem")):
        if folder / name in made:
            variables[variable] = str(folder / name)
    return TrustFiles(variables, str(folder / "bundle.pem"), frozenset({*map(str, made), str(hashed)}), own)


def _extended(path: Path, certificate: bytes, named: str) -> dict[Path, bytes]:
    """Return a file with the job's own and ours; none where the job's own is no file, which then stays as it is."""
    own = Path(named)
    try:
        if own.is_file() and own.stat().st_size <= MOST_BYTES:
            return {path: _joined(certificate, [own])}
    except OSError:
        pass
    return {}


def _joined(certificate: bytes, others: Iterable[Path]) -> bytes:
    return b"\n".join([*(path.read_bytes() for path in others), certificate])


def _first(bundles: Iterable[str]) -> list[Path]:
    return [path for path in map(Path, bundles) if path.is_file()][:1]
