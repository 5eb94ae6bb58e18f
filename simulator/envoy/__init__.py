"""One Envoy: start-up, clusters, listeners, routes, secrets, runtime, and the way it asks for them.

Modules and states carry Envoy's own names. Rules are cited as S1, T7, W5, ... after the measurements of a
real Envoy 1.40 listed in MODEL.md, or by Envoy's source file.
"""
