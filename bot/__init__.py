"""Starts and wires: the only folder that knows all the others."""
