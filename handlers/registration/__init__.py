"""The registration itself: one file per step."""
