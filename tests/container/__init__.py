"""The container image, built and run by a real engine: `make container-test`, not part of `make test`."""
