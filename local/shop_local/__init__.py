"""Serve the sample shop's pages and pictures: what the links of a previewed e-mail lead to."""
