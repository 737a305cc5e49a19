"""Between streams and functions: reads messages, makes one invocation a batch, records, replies, moves on."""

from process.extras import require

require("bridge", "pika")
