"""Entry point of the Action's step, and of ``doctor`` where nothing is installed.

Any Python since 2.7 parses it; one that is too old prints a sentence.
"""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit("p2pcache needs Python 3.11 to 3.14, which post/start.sh looks for; this is " + sys.version.split()[0])

import runpy
from os import environ
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # an isolated interpreter does not search the script's folder
if sys.argv[1:2] == ["doctor"]:
    runpy.run_module("p2pcache", run_name="__main__")
from action.main import main

sys.exit(main(environ))
