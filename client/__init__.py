"""What people use from outside: the command line `sentiment`. No server is needed for it."""

from process.extras import require

require("train", "scipy", "sklearn", "tqdm")
