"""Talks and decides. Empty, so that the rules for numbers and addresses load without aiogram: see `routers.py`."""
