"""Remembers: SQL is the truth, Redis is the conversation. Imports nothing else of ours."""
