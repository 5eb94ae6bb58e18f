"""The control plane of Istio 1.0 to 1.4: Galley, Pilot, Citadel and the injector as processes."""
