"""Whatever is declared once: everything that repeats it says the same."""

from __future__ import annotations

import inspect
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from p2pcache import values
from p2pcache.commands import environment
from p2pcache.declarations import INPUT_DEFAULTS, INPUT_VARIABLES, INPUTS, SETTINGS
from p2pcache.exports import JOB_EXPORTS, NODE_EXPORTS
from p2pcache.options import Setting
from p2pcache.runner.bootstrap import AUTO
from p2pcache.runner.network import Mode
from p2pcache.settings import Settings, load

ROOT = Path(__file__).parents[2]
FILES = {
    kind: yaml.safe_load((ROOT / file).read_text("utf-8"))
    for kind, file in (("composite", "action.yml"), ("docker", "docker/action.yml"))
}
ACTIONS = {kind: content["inputs"] for kind, content in FILES.items()}
HOME = {"XDG_CACHE_HOME": "/var/cache"}


def test_each_field_of_the_settings_is_declared_once() -> None:
    derived = {"in_actions", "options"}  # of GITHUB_ACTIONS and ACT, which are the runner's; of what backends declare
    declared = [setting.field for setting in SETTINGS]
    fields = {field.name for field in msgspec.structs.fields(Settings)} - derived
    assert sorted(declared) == sorted(fields | load({}, HOME).options.keys())


@pytest.mark.parametrize("names", ["flag", "variables", "input"])
def test_a_name_belongs_to_one_setting(names: str) -> None:
    found = [getattr(setting, names) for setting in SETTINGS]
    flat = [name for item in found for name in (item if isinstance(item, tuple) else (item,)) if name]
    assert len(flat) == len(set(flat))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_a_setting_can_be_told_and_explains_itself(setting: Setting) -> None:
    assert setting.flag or setting.variables
    assert setting.help.endswith(".")
    assert bool(setting.metavar) <= bool(setting.flag)
    assert setting.internal or bool(setting.default) is not bool(setting.otherwise), "one of the two says the default"


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.parse], ids=lambda setting: setting.field)
def test_the_parser_that_is_named_is_there(setting: Setting) -> None:
    assert inspect.isfunction(getattr(values, setting.parse, None))


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.default], ids=lambda setting: setting.field)
def test_the_default_that_is_said_is_the_one_that_counts(setting: Setting) -> None:
    assert load({setting.field: setting.default}, HOME) == load({}, HOME)


@pytest.mark.parametrize("kind", ACTIONS)
def test_an_action_has_the_inputs_that_are_declared(kind: str) -> None:
    own = {given.name for given in INPUTS if getattr(given, kind)}
    # The composite hands the runner's token over by itself.
    nodes = set(INPUT_VARIABLES) - ({"job-token"} if kind == "composite" else set())
    assert set(ACTIONS[kind]) == own | nodes


@pytest.mark.parametrize("kind", ACTIONS)
def test_an_actions_defaults_are_the_declared_ones(kind: str) -> None:
    declared = INPUT_DEFAULTS | {setting.input: setting.input_default for setting in SETTINGS if setting.input}
    for name, given in ACTIONS[kind].items():
        assert given["default"] == declared[name], name


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.input and s.default], ids=lambda setting: setting.input)
def test_an_inputs_default_is_the_settings_or_none(setting: Setting) -> None:
    assert setting.input_default in ("", setting.default)


def test_the_readme_names_the_inputs_of_the_composite() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition("## Inputs\n")[2].partition("\nOutputs:")[0]
    rows = re.findall(r"^\| (`.+?) \|.*\|(.*)\|$", table, re.MULTILINE)
    named = {name: default.strip() for names, default in rows for name in re.findall(r"`([a-z0-9-]+)`", names)}
    inputs = ACTIONS["composite"]
    assert set(named) == set(inputs)
    defaults = {name: setting.default for setting in SETTINGS if (name := setting.input)} | INPUT_DEFAULTS
    for name in inputs:
        if re.fullmatch("`(true|false|scope)`", named[name]):
            assert named[name] == f"`{defaults[name]}`", name


def test_the_reference_is_what_the_declarations_give() -> None:
    script = [sys.executable, str(ROOT / "docs/reference.py")]
    made = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    assert (ROOT / "docs/settings.md").read_text("utf-8") == made, "refresh it with: make reference"


@pytest.mark.parametrize("folder", ["p2pcache", "action", "post", "docs", "examples"])
def test_no_variable_is_spoken_of_that_is_not_declared(folder: str) -> None:
    declared = {variable for setting in SETTINGS for variable in setting.variables}
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in {".py", ".sh", ".js", ".md", ".yml"}:
            named = set(re.findall(r"(?<![\w*])CACHE_[A-Z0-9_]*[A-Z0-9]\b(?!\*)", path.read_text("utf-8")))
            assert named <= declared, path


@pytest.mark.parametrize("kind", FILES)
def test_what_is_exported_is_an_output(kind: str) -> None:
    assert set(JOB_EXPORTS) <= set(FILES[kind]["outputs"])


@pytest.mark.parametrize(
    ("beginning", "end", "exported"),
    [
        ("`up`, `env` and `run` set ", "a folder", {*NODE_EXPORTS.values(), *environment.OF_OTHERS}),
        (
            "Later steps also find ",
            "where",
            {*JOB_EXPORTS.values(), "CACHE_ENABLE_P2P", "CACHE_LISTEN_PORT", "GH_CONFIG_DIR"},
        ),
    ],
    ids=["a shell", "later steps"],
)
def test_the_interface_names_what_is_exported(beginning: Any, end: signal.Signals, exported: Any) -> None:
    text = (ROOT / "docs/interface.md").read_text("utf-8")
    assert set(re.findall(r"`([A-Z0-9_]+)`", text.partition(beginning)[2].partition(f" {end}")[0])) == exported


def test_what_looks_around_is_a_mode_beside_the_modes() -> None:
    assert INPUT_DEFAULTS["mode"] == AUTO
    assert AUTO not in set(Mode)
