"""One page of a recording that needs nothing else: for reading, searching and handing on."""
