"""A message's way in: its address, the queues it leads to, and the step into them."""
