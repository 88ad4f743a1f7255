"""What loadgen costs, measured: not shipped, run from a checkout."""
