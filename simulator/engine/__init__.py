"""Discrete-event machinery on SimPy: time, servers, state machines, chance. No word of the mesh."""
