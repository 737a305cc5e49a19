"""`python -m sentiment`: the command line, which stands above this package, in `client`."""

import runpy

runpy.run_module("client", run_name="__main__")
