"""May the numbers be believed? The verdict (`judging`), and the table of its rules (`rules`)."""
