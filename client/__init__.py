"""What people use from outside: the command line `sentiment`."""

from process.extras import require

require("train", "scipy", "sklearn", "tqdm")
