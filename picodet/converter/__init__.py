"""Converts any file that holds a PicoDet to a model in memory, or to a file in another form."""
