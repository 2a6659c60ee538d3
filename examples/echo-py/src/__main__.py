"""Started by Parley: see echo.py for what the plugin does, parley.py for how it speaks."""

import echo
import parley

parley.serve(echo.Echo())
