"""A plan carried out: open, warm up, load, drain, record; and what watches meanwhile."""
