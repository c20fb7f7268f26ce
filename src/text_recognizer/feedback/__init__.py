"""Readings, flags and corrections: stored, reviewed, and exported as training data."""
