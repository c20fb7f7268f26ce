"""Readings, flags and corrections: store them, review them, and export them as training data."""
