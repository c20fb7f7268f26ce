"""Read whole collections: folders, archives and long documents, in several processes, resumable after any stop."""
