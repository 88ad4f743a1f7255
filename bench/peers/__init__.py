"""loadgen beside other load tools: how each is started, what it prints, and what it takes."""
