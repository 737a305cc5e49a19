"""What watches a deployment: Prometheus with its alerts, and Grafana with its dashboards."""
