"""The world configured: what control planes describe and proxies obey."""
