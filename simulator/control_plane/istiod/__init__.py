"""istiod, stage by stage: from an event of the API server to responses on the streams of its proxies."""
