"""What independent judges say of every stack; ends with the number of findings, and fails if there are any."""

import asyncio
import sys

from tests.judges.verdicts import table

if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())  # Pulumi wants one to be there
    text, findings = table()
    sys.stdout.write(f"{text}\n")
    sys.exit(1 if findings else 0)
