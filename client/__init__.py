"""What people use from outside: the command line `sentiment`. No server is needed for it."""
