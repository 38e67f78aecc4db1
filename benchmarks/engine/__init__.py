"""Contenders of the engine experiment: recommenders, judged by quality and by speed."""
