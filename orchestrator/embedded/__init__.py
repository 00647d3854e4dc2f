"""Everything that one machine needs to run the product by itself.

datadir      the data folder: its layout, its keys, and (claim) who may work in it
postgres     the database server; below it: cluster (its folder), postmaster and processes (what runs),
             address (its socket), account (its user), binaries (its programs), serversettings, serverlog
supervisor   the whole product as a tree of processes; below it: children (and restarts), child (what each of them runs
             in, so that none outlives its supervisor), preparing, environment, listening, leftovers (of a killed one)
"""
