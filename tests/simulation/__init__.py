"""A day of registrations under attack, on the real engine and a simulated clock: `python -m tests.simulation`."""
