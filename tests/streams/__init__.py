"""What is asked of the sources and publishers of streams, of whichever RabbitMQ the fixture `broker` names.

`tests/integration` asks it of the system's own, `tests/cluster` of RabbitMQ 4.
"""
