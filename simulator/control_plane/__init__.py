"""Control planes: what decides which configuration is sent, to whom, and when."""
