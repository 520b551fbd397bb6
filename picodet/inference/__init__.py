"""Runs a PicoDet from any file, and draws its detections."""
