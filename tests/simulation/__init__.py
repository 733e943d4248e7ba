"""The run loop simulated.

Scheduler, retry policy, pool and ledger are real; clock, executor and workspace are those of a seed.
"""
