"""Who may do what: users, permissions, limits, and the checks at every operation."""
