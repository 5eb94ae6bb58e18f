"""One run: build, advance, collect, and say where it came from."""
