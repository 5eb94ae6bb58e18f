"""The laboratory: plays a scripted scenario in real time against real Envoy processes on loopback and records
the same tables as the simulator.

`play.play` is the way in; `verify.verify` compares. Nothing here is imported before it is asked for: the
extra ``lab`` (the Envoy binary, gRPC and the protobufs) need not be installed for anything else.
"""
