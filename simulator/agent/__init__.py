"""istio-agent (pilot-agent): what stands between istiod and one Envoy, and how a pod starts and ends around
them."""
