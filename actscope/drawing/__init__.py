"""The commands below `actscope render`: a thin skin over `actscope.render`."""
