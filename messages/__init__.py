"""RabbitMQ behind ports: sources, publisher, topology, alerts, an in-memory twin. The modules are the interface."""
