"""What was measured, as frozen data."""
