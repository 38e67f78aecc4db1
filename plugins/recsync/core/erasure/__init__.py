"""Erasure: who is meant, who is kept out from now on, and how one person's rows leave each kind of object."""
