"""What results mean, and the words for it."""
