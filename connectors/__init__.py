"""The outside world: sources, sinks and log formats. Imports only `detector.{query,alert,errors}`."""
