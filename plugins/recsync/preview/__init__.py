"""The mail of real people as Braze would render it, before it is sent."""
