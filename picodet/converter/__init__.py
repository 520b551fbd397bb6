"""Any file that holds a PicoDet -> a PicoDet in memory, or a file in another form."""
