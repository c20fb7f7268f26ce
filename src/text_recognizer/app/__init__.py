"""The web page where people read, correct and flag: knows the service by HTTP alone."""
