"""The whole system on one machine, without containers: `./deploy.sh --local`."""
