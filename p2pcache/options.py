"""The shapes in which settings and inputs are declared; `declarations` has the table, each backend its own rows."""

from __future__ import annotations

from typing import NamedTuple

BYTES = "a number of bytes, at least 1048576"


class Setting(NamedTuple):
    """What can be told to a node.

    Attributes:
        field: of `settings.Settings`, or of its `options` where a backend declares it.
        help: one sentence, for ``--help`` and the reference.
        expected: what is right, for the error about a value that is not.
        flag: of ``serve``, ``up`` and ``run``.
        flag_help: in place of `help`, where the flag says the opposite.
        metavar: the flag's value; without one the flag is a switch.
        switch: what a switch says when it is given.
        variables: the first is the name, the others are aliases; the first that is set counts.
        input: of the Action; it sets the first variable.
        input_default: in both ``action.yml``; empty where the job's variable, or else `default`, is to count.
        default: as text that could be given.
        otherwise: the default in words, where there is no such text.
        unit: of a number.
        parse: the function of `values` that reads it, where the field's type does not say how.
        repeated: the flag may be given more than once.
        secret: never shown, and kept from the commands that a node starts.
        internal: passed by the supervisor or the Action, and by nobody else.
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
    """An input that is the Action's own matter: no node reads it.

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
