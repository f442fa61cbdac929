"""The curation page: a local web server where a person decides; it must not know flows, Prefect or the command line.

It is an HTTP interface over the plain functions of ``pipeline``, and static files written by hand, rather than a
dashboard of Panel or Bokeh. There, what a person did lives in a session of the server's process and is gone with it;
here every edit is a row of the database before the next one is made, so that a server or a browser that died loses
nothing. Hand-written pages run under a Content-Security-Policy that allows no inline script and no ``eval``, which
Bokeh's do not; the keyboard and what a screen reader hears are ours to get right; and nothing more is installed than
what Prefect brings. Canvas draws a thousand contours and envelopes of a hundred thousand frames in a few
milliseconds, and there is no build step: what is in ``static/`` is what runs.
"""

from miniscope_core.web.app import create_app
from miniscope_core.web.security import new_token
from miniscope_core.web.serving import serve, serve_in_background

__all__ = ["create_app", "new_token", "serve", "serve_in_background"]
