"""What was measured, as immutable values: the RunRecord, its schema, histograms, intervals."""
