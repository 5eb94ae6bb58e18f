"""The control plane of Istio 0.2 to 0.7: Pilot answers Envoy's v1 REST polls from caches."""
