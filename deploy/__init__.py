"""What runs the system: the local stack here, images and manifests beside it."""
