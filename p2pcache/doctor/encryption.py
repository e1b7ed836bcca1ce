"""Check 6: the secret is strong, seals and opens, is refused where something was changed, and rotates."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from p2pcache.cache.sealing import Keyring, SealedKind, SealError
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.keys import keyring_of, with_secret
from p2pcache.settings import Settings, SettingsError
from p2pcache.values import Secret

KEYGEN = "make a secret with: p2pcache keygen | gh secret set CACHE_SECRET"
ROTATION = 2
"""The secrets of a rotation: the new one and the old one."""
_PLAIN = b"what a node seals" * 1024


def examine(patient: Patient) -> Iterator[CheckFinding]:
    """Yield the round trip with each key, and what is found of where they come from."""
    settings = patient.settings
    if settings.hub and not settings.secrets:
        if not (settings.directory / "secret").exists():
            yield skipped("no secret yet: a hub makes one when it first starts, in its directory")
            return
        settings, _ = with_secret(settings)
    try:
        keyring, _ = keyring_of(msgspec.structs.replace(settings, hub=False, oidc_repositories=(), oidc_owners=()))
    except SettingsError as error:
        sentence, _, advice = str(error).partition("; ")
        yield failed(sentence, advice or KEYGEN)
        return
    yield round_trip(keyring)
    yield _source(settings, keyring)
    yield from _rotation(settings.secrets)
    if settings.secret_file:
        yield from _readers(settings.secret_file)


def round_trip(keyring: Keyring) -> CheckFinding:
    """Seal and open with each key, and try to open what was changed or moved."""
    details = []
    for number, ring in enumerate(keyring.each(), 1):
        started = time.perf_counter()
        sealed = ring.seal(_PLAIN, SealedKind.BUNDLE, b"place")
        opened = keyring.open(sealed, SealedKind.BUNDLE, b"place")
        milliseconds = (time.perf_counter() - started) * 1000
        changed = bytes((*sealed[:-1], sealed[-1] ^ 1))
        if opened != _PLAIN or _opens(keyring, changed, b"place") or _opens(keyring, sealed, b"elsewhere"):
            return failed(
                f"key {ring.key_id.hex()} does not protect what it seals",
                "install the package cryptography again: pip install --force-reinstall cryptography",
            )
        use = "seals and opens" if number == 1 else "opens what an older secret sealed"
        details.append(f"key id {ring.key_id.hex()}: {use}, {milliseconds:.2f} ms for {len(_PLAIN) >> 10} KiB")
    return passed("what is sealed opens again, and what was changed or moved does not (AES-256-GCM-SIV)", *details)


def _opens(keyring: Keyring, sealed: bytes, place: bytes) -> bool:
    try:
        keyring.open(sealed, SealedKind.BUNDLE, place)
    except SealError:
        return False
    return True


def _source(settings: Settings, keyring: Keyring) -> CheckFinding:
    if settings.secrets:
        return passed(
            "no weakness is seen in the secret; that it is random is known of what `p2pcache keygen` prints alone"
        )
    if keyring.lasting:
        return passed("no CACHE_SECRET: the personal token in GITHUB_TOKEN stands in for it")
    found = "no CACHE_SECRET: the keys end with this process, so nothing is shared or read again"
    return warned(found, KEYGEN)


def _rotation(secrets: Sequence[Secret]) -> Iterator[CheckFinding]:
    distinct = {secret.reveal() for secret in secrets}
    if len(distinct) < len(secrets):
        yield warned(f"{len(secrets)} secrets are given, {len(distinct)} of them different", "remove the repeated ones")
    if len(distinct) > ROTATION:
        yield warned(
            f"{len(distinct)} secrets are accepted, and a rotation takes {ROTATION}",
            "remove those that no node seals with any more (docs/deploying.md#rotating-the-secret)",
        )
    elif len(distinct) == ROTATION:
        yield passed("a rotation is under way: the first secret seals, both open")


def _readers(path: Path) -> Iterator[CheckFinding]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # it was read when the settings were
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        yield warned(f"{path} can be read by other users (mode {mode:04o})", f"chmod 600 {path}")
