"""Prove, by calling it, which operations of Amazon Personalize this server has: `python -m personalize_local.parity`.

boto3's own clients call every operation against a running server, once as a pipeline would and then with requests
that must be refused. What the calls show is what the table says; nothing in it is typed.
"""
