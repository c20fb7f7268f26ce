"""Reading inside other programs: each module joins one of them, and is imported only by it or by its command."""
