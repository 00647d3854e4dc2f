"""What a report says: its figures, the totals that must add up, and what each number means.

    figures.py      the shapes of the figures, as they are counted
    totals.py       the control totals: both sides of each equation, and whether they agree
    amounts.py      named fields of inputs and results, summed exactly
    buckets.py      the steps of time on the charts' axes
    verdict.py      the headline: what finished, what did not, what needs a person
    dossier.py      everything about one run, and what of it can be checked
    definitions.py  what every number on the page means

Pure: storage counts, this room judges, `orchestrator/reports` prints.
"""
