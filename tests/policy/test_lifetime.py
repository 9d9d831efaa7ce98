"""Whoever serves the rules ends with who asked for them."""

import subprocess
import sys

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print("started", flush=True)
child.wait()
"""
CHILD = """
import threading
from policy.lifetime import end_with_parent
end_with_parent()
print("serves", flush=True)
threading.Event().wait()
"""


def test_the_server_of_the_rules_does_not_outlive_a_killed_engine():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    assert {parent.stdout.readline(), parent.stdout.readline()} == {"started\n", "serves\n"}
    parent.kill()
    # Its end is closed once the child is gone as well, or never.
    assert parent.communicate(timeout=30) == ("", None)
