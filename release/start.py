"""The `__main__` of p2pcache.pyz. Any Python since 2.7 parses it; one that is too old looks for another."""

import os
import subprocess
import sys

SUPPORTED = "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))"

if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    for name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            found = os.path.join(folder, name)
            with open(os.devnull, "w") as nowhere:
                # A shim may be broken, and exec cannot be undone: try it first.
                if os.access(found, os.X_OK) and not subprocess.call([found, "-c", SUPPORTED], stderr=nowhere):
                    os.execv(found, [found] + sys.argv)
    sys.exit("p2pcache needs Python 3.11 to 3.14 on the path; this is " + sys.version.split()[0])

from unpack import unpacked

python = unpacked(sys.argv[0])
# -P: do not import from the current directory.
os.execv(python, [python, "-P", "-m", "p2pcache"] + sys.argv[1:])
