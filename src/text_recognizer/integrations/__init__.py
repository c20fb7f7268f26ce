"""Reading inside other programs. Each module integrates with one, and only that program or its command imports it."""
