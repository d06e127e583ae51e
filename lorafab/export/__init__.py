"""What a customer's network server is given, made from boards that passed: one module a format, bytes in memory.

Nothing here reads the ledger, opens a key or writes a file: that is :mod:`lorafab.run.exporting`.
"""
