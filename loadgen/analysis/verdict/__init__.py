"""May the numbers be believed: the rules, and the verdict they lead to."""
