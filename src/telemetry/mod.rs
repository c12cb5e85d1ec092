//! Metrics, logs and traces, each declared in one place.
