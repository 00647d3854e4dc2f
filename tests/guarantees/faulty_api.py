"""`python -m tests.guarantees.faulty_api`: the same as `orchestrator serve`, with the faults that FAULT names."""

import sys

from tests.guarantees.strikes import run_struck

if __name__ == "__main__":
    sys.exit(run_struck(["serve", *sys.argv[1:]]))
