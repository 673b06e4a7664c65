"""SimPy parts that architecture families share."""
