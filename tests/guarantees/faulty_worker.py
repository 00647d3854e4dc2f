"""`python -m tests.guarantees.faulty_worker`: the same as `orchestrator worker`, with the faults that FAULT names."""

import sys

from tests.guarantees.strikes import run_struck

if __name__ == "__main__":
    sys.exit(run_struck(["worker", *sys.argv[1:]]))
