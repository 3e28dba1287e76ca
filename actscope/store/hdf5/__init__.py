"""Reads what an HDF5 file says of itself, in plain Python, whoever may have written it.

The HDF5 library hangs and crashes on crafted files, and takes a call through h5py for each of
thousands of attributes. Here every structure is a few bytes that are looked at about once: work and
memory are bounded by the size of the file, nothing is followed out of it, and a layer takes some
tens of microseconds. Only what recordings consist of is read: the oldest form of HDF5's structures,
which every library writes unless it is told otherwise. Values are read elsewhere.

Source: "HDF5 File Format Specification Version 3.0", https://support.hdfgroup.org/documentation.
"""
