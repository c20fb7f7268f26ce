"""What was read, flagged and corrected: kept, looked at, and given back to training."""
