"""All SQL. Each query has a name and a reason; rows become frozen values at the edge.

Locks are taken in one order: lane, batch, wave, run, so that no two acts wait for each other in a ring.
"""
