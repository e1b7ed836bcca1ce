"""Check 7: settings that were read, left to their defaults, contradict each other, are misspelt, or have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from p2pcache import backends
from p2pcache.cache.sealing import generate_secret
from p2pcache.declarations import SETTING, SETTINGS
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.keys import keyring_of
from p2pcache.options import Setting
from p2pcache.settings import Settings, SettingsError
from p2pcache.unknown import unknown, unused
from p2pcache.values import Secret

REFERENCE = "docs/settings.md has every flag and variable"
SHOWN = 100


def examine(patient: Patient) -> Iterator[CheckFinding]:
    """Yield what was read, then what is wrong with it."""
    if patient.given is None:
        yield failed(patient.problem, f"correct it ({REFERENCE})")
        yield from _misspelt(patient)
        return
    settings = patient.given
    given = list(_given(patient))
    defaults = sum(not each.internal for each in SETTINGS) - len(given)
    yield passed(f"settings read: {len(given)}; left to their defaults: {defaults}", *given)
    yield from _misspelt(patient)
    yield from _several_names(patient)
    yield from _contradictions(patient, settings)
    yield from _ended(settings)


def _given(patient: Patient) -> Iterator[str]:
    """Yield a line for each setting that was given: its main name, value and origin."""
    for setting in SETTINGS:
        if setting.internal:
            continue
        name = setting.variables[0] if setting.variables else setting.flag
        if patient.flags.get(setting.field):
            yield f"{name}: {_value(setting, patient.flags[setting.field])} (flag {setting.flag})"
        elif names := _set_variables(setting, patient):
            origin = "" if names[0] == name else f" (as {names[0]})"
            yield f"{name}: {_value(setting, patient.environ[names[0]])}{origin}"


def _value(setting: Setting, text: str) -> str:
    if setting.secret:
        return "set, not shown"
    line = ", ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


def _set_variables(setting: Setting, patient: Patient) -> Sequence[str]:
    return [name for name in setting.variables if patient.environ.get(name, "").strip()]


def _misspelt(patient: Patient) -> Iterator[CheckFinding]:
    strange = unknown(patient.environ)
    if strange is None:
        return
    if strange.mistaken:
        yield warned(strange.sentence, "rename the variable that is misspelt to the name in brackets, or unset it")
    else:
        yield skipped(f"{strange.sentence}; likely another program's")


def _several_names(patient: Patient) -> Iterator[CheckFinding]:
    """Yield a warning for each setting that is given more than once, with different values."""
    for setting in SETTINGS:
        names = _set_variables(setting, patient)
        values = {name: patient.environ[name].strip() for name in names}
        if flag := patient.flags.get(setting.field):
            values = {setting.flag: flag, **values}
        own = [name for name in values if name.startswith(("--", "CACHE_"))]  # others are the runner's, or a client's
        if len({values[name] for name in own}) > 1 and not setting.internal:
            yield warned(f"{own[0]} and {', '.join(own[1:])} differ: {own[0]} counts", f"keep one of them: {own[0]}")


def _contradictions(patient: Patient, settings: Settings) -> Iterator[CheckFinding]:
    if sentence := unused(patient.environ, settings.backends):
        found, _, advice = sentence.rpartition(": ")
        yield warned(found, f"{advice}, or unset the variables")
    alone = ""
    try:
        _, alone = keyring_of(_with_own_secret(settings))
    except SettingsError as error:
        found, _, advice = str(error).rpartition(": ")
        if not found.startswith(SETTING["secrets"].variables[0]):  # of which check 6 is
            yield failed(found, advice)
    off = alone and settings.secrets  # switched off, not for want of a secret
    if off and settings.bootstrap:
        yield warned(f"{alone}, so the bootstrap peers are not used", "change that, or name no bootstrap peers")
    if settings.hub_peer_id and not settings.bootstrap:
        yield warned(
            "MCP_PEER_ID is of no use without a bootstrap peer", "name the hub's address in CACHE_BOOTSTRAP_PEERS"
        )
    if settings.p2p_listen and _set_variables(SETTING["p2p_port"], patient):
        yield warned("--p2p-listen and CACHE_LISTEN_PORT are both set: the flag counts", "unset CACHE_LISTEN_PORT")


def _with_own_secret(settings: Settings) -> Settings:
    """Return a hub's settings as they are when it has made its secret."""
    if not settings.hub or settings.secrets:
        return settings
    return msgspec.structs.replace(settings, secrets=(Secret(generate_secret()),))


def _ended(settings: Settings) -> Iterator[CheckFinding]:
    """Yield a warning for each backend whose service is no more, in the words of its declaration."""
    for name in settings.backends:
        if sentence := backends.named(name).ended:
            found, _, advice = sentence.partition(": ")
            yield warned(f"{name}: {found}", advice)
