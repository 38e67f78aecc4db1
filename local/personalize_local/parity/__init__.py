"""Test which operations of Amazon Personalize this server has: `python -m personalize_local.parity`.

boto3 clients call every operation of a running server, first as a pipeline would, then with invalid requests. The table
is generated from the results of these calls.
"""
