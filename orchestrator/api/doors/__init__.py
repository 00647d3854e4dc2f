"""Drop-in doors: the providers' own APIs, spoken by us, so that an existing client gains durability by a base URL.

script.py            /script/api/v1/…: the Script workflows API, for the connection that the token is bound to
script_shapes.py     its answers and errors
scripe.py            /scripe/v1/jobs…: the Scripe jobs API, over all runs of the workspace
scripe_shapes.py     its answers and errors
job_queries.py       the parameters of its list
results.py           /results/…: stored files by URLs that expire
callers.py           x-api-key -> who asks, and the connection they speak for
mounts.py            each door in its place, with its own shape of errors
"""
