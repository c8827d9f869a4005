"""Controllers: KServe in Knative and in Standard mode, and what it relies on (Knative, Deployments, routes)."""
