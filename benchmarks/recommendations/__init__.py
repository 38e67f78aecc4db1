"""The recommendations service under load."""
