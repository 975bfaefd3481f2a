"""The mends of compat.py, by the part of fastreid that they are for; none of them imports it before it is mended."""
