"""How bytes travel between a control plane and its proxies, and the small protocols in which both ends
meet."""
