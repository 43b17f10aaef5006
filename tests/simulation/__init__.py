"""The whole broker in one thread's time: loop, clock, network, disk and clients all follow from one seed."""
