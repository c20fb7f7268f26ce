"""The web page where people read, correct and flag: knows the service by HTTP alone.

Gradio draws it; what it shows and does is in `browser/`. The page asks the service's own addresses (/v1/…), as any
client does: mounted in the service they are beside it (`mounted.py`), standing alone the requests are passed on
(`forward.py`). Pictures and texts stay in the browser: the server stores nothing between two requests.
"""
