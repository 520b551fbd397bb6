"""Recordings of what a reference computes from one input: index, reader, writer and probes."""
