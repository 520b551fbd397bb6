"""Passes over a graph before its canonical form: what an export adds around the network."""
