"""How a change travels: push over gRPC streams, polling, files. Both ends of one way in one file.

The Envoy's end of a gRPC stream is its mux (envoy/ads_mux.py), which is a part of Envoy in its own right.
"""
