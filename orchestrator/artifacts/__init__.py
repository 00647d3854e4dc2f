"""Where result files are kept.

registry.py   a store by its URL
local.py      a folder on this machine, with every byte synced before it counts
filenames.py  a provider's filename made safe for a user's folder
highwater.py  what is kept outside the database so that a restore shows: a mark, and (launch_journal.py) the launches
"""
