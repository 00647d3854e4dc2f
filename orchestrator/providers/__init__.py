"""The remote APIs, one adapter each, and the files they offer.

registry.py       a provider by its name
adapter.py        what every adapter stands on
script.py         the Script workflows API: its five calls
script_shapes.py  what its answers must look like
scripe.py         the Scripe jobs API
scripe_shapes.py  what its answers must look like
reading.py        what an answer says, or the error that it means
keys.py           which API keys can stand in a header
inline.py         results that stand in the answer itself
http.py           one request to an API: bounded, never retried
outcomes.py       what a failure or a status means, as data
retry_after.py    how long a provider asks us to wait
files.py          result files, read from hosts we do not trust
tally.py          what such a host sent beyond the length it announced
transport.py      httpx connections that go to checked addresses only
addresses.py      which addresses and URLs we ever call
evidence.py       what of a hostile answer may be kept
"""
