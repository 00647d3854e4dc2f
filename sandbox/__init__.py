"""A stand-in for the remote APIs, to test and demonstrate against: their pages word for word, with faults.

It imports nothing of the orchestrator, on purpose: it is a second, independent reading of the vendor's page, so a
misreading in one of the two shows as a disagreement between them. See README.md beside this file.
"""
