"""Everything that is tested from outside and from inside, by kind."""
