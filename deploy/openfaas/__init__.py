"""The system on an OpenFaaS gateway: `./deploy.sh`. Needs Python's standard library, docker and faas-cli alone."""
