"""From a request and a supply of GPUs to a plan, or to the reason why there is none. Knows no YAML."""
