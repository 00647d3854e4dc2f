"""The command line: parse in, call the client, print out. Nothing heavy is imported before a command needs it.

main            the program: its commands, and what its exit code says
output          data on stdout, as a table or as JSON; messages on stderr; exits and problems: codes and errors in words
options         what several commands take; connect: the client they use
runs batches connections workflows doubts inbox tokens       one noun each, over the API
inputs files results follow live times                       what those share: reading, fetching, waiting, showing
local running parts prepare doctor configuration            this machine: up and down, a cluster's parts, a look
demo            the show: story (what is told), stage (what runs), audit (what it came to)
"""
