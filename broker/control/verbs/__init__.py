"""The verbs, one file for each kind of thing."""
