"""The e-mail kit: what a marketer copies into Braze, made from a program file."""
