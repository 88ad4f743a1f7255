"""A plan carried out: open, warm up, load, drain, build the record; the monitor and the probe."""
