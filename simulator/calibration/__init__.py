"""Measured costs as data, and the formulas that read them. Stands below the protocol and the mesh; serves
all."""
