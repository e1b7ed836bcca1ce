"""One job in miniature, run inside a container or on the host: the Action's start, one question, the Action's end.

Standard library only; prints what later steps would see as one line of JSON, after the Action's own log.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

with tempfile.TemporaryDirectory() as scratch:
    files = {name: str(Path(scratch, name)) for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        Path(path).touch()
    environ = {**os.environ, **files, "RUNNER_TEMP": scratch}
    command = [sys.executable, "-I", "-m", "p2pcache.runner.main"]
    started = subprocess.run([*command, "start"], env=environ, timeout=60, check=False).returncode
    said = re.findall(r"^(\S+)<<(\S+)\n(.*?)\n\2$", Path(files["GITHUB_OUTPUT"]).read_text(), re.DOTALL | re.MULTILINE)
    outputs = {name: value for name, _, value in said}
    status = ""
    if started == 0 and (target := os.environ.get("JOB_ASKS")):
        headers = {"Authorization": f"Bearer {os.environ['INPUT_TOKEN']}"}
        request = urllib.request.Request(outputs["api-url"] + target, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            status = answer.headers["cache-status"]
    subprocess.run([*command, "finish"], env=environ, timeout=60, check=False)
    summary = Path(files["GITHUB_STEP_SUMMARY"]).read_text()
    print(json.dumps({"started": started, "outputs": outputs, "status": status, "summary": summary}))
