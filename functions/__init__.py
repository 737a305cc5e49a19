"""The OpenFaaS functions: each an HTTP interface, and beside it the service that does the work."""

from process.extras import require

require("functions", "flask", "httptools")
