"""Joins a mesh whose many proxies are rows of arrays (simulator/fleet) with the parts of the event engine."""
