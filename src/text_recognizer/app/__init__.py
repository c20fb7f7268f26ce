"""The web page where people read, correct and flag pages. It uses the service only over HTTP.

Gradio draws the frame; `browser/` holds what the page shows and does. Like any client, the page calls the service's
addresses (/v1/…). `mounted.py` serves the page together with the service; `forward.py` serves it alone and forwards
its requests. Pictures and texts stay in the browser: the server stores nothing between two requests.
"""
