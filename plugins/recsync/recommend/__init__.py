"""Recommend: an audience becomes the input of a job, its output becomes published lists."""
