"""The types of declared settings and inputs; `declarations` has the table, each backend its own rows."""

from __future__ import annotations

from typing import NamedTuple

BYTES = "a number of bytes, at least 1048576"


class Setting(NamedTuple):
    """One setting of a node.

    Attributes:
        field: of `settings.Settings`, or of its `options` where a backend declares it.
        help: one sentence, for ``--help`` and the reference.
        expected: the valid values, for the error about an invalid one.
        flag: of ``serve``, ``up`` and ``run``.
        flag_help: in place of `help`, where the flag negates the setting.
        metavar: the placeholder of the flag's value; without one the flag is a switch.
        switch: the value of a given switch.
        variables: the main name, then aliases; the first that is set counts.
        input: of the Action; it sets the main variable.
        input_default: in both ``action.yml``; empty where the job's variable, or else `default`, applies.
        default: as valid text.
        otherwise: the default in words, where no text expresses it.
        unit: of a number.
        parse: the function of `values` that parses it; by default the field's type determines it.
        repeated: whether the flag may be given more than once.
        secret: never shown, and removed from the environment of commands that a node starts.
        internal: passed only by the supervisor or the Action.
    """

    field: str
    help: str
    expected: str = "true or false"
    flag: str = ""
    flag_help: str = ""
    metavar: str = ""
    switch: str = "true"
    variables: tuple[str, ...] = ()
    input: str = ""
    input_default: str = ""
    default: str = ""
    otherwise: str = ""
    unit: str = ""
    parse: str = ""
    repeated: bool = False
    secret: bool = False
    internal: bool = False


class Input(NamedTuple):
    """An input of the Action itself, which no node reads.

    Attributes:
        default: in ``action.yml``.
        composite: whether the composite Action has it.
        docker: whether the Docker Action has it.
    """

    name: str
    help: str
    default: str
    composite: bool = True
    docker: bool = True
