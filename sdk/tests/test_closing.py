"""How a process ends while an executor is still being closed."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import time
from automl.cli.ending import leave
from automl.closing import close_aside

class Slow:
    def close(self):
        time.sleep(1)
        print("closed", flush=True)

close_aside(Slow())
print("done")
{end}
"""


@pytest.mark.parametrize(("end", "said"), [("", ["done", "closed"]), ("leave(0)", ["done"])])
def test_a_script_waits_for_fits_and_a_command_does_not(end, said) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(end=end)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, said, "")
