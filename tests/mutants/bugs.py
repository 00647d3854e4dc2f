"""The planted bugs: each breaks one guarantee by one small change, as a tired colleague might."""

from __future__ import annotations

from tests.mutants.keeping import LEASES, LIMITS, RECORD, RESULTS
from tests.mutants.sending import LAUNCHING, READING

BUGS = (*LAUNCHING, *READING, *LIMITS, *LEASES, *RESULTS, *RECORD)
