"""The product in virtual time: what a batch will be like, before it is sent, and what the benchmarks measure.

Every decision is the product's own code; memory stands in place of the tables, arithmetic in place of the provider.
"""
